"""What the peers' models share and no framework has a say in."""

# Filters of GoogLeNet's inceptions: 1×1; before 3×3, 3×3; before 5×5, 5×5; after the pool. A
# number alone is the window of a max pool.
INCEPTION: list[list[int] | int] = [
    [64, 96, 128, 16, 32, 32], [128, 128, 192, 32, 96, 64], 3,
    [192, 96, 208, 16, 48, 64], [160, 112, 224, 24, 64, 64], [128, 128, 256, 24, 64, 64],
    [112, 144, 288, 32, 64, 64], [256, 160, 320, 32, 128, 128], 2,
    [256, 160, 320, 32, 128, 128], [384, 192, 384, 48, 128, 128]]
