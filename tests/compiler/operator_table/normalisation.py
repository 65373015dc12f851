"""Rows of normalisations."""

from tests.compiler.operator_table import Row, floats

AUDIO = ("time", "frequency", "channels")

ROWS = (
    Row("batch_norm", "image", {}, (floats(3, 4, 2),), params=4, statistics=4),
    Row("batch_norm", "vector", {"momentum": 0.5}, (floats(3),), params=6, statistics=6),
    Row("batch_norm", "sequence, no scale", {"scale": False}, (floats(5, 3),), params=3,
        statistics=6),
    Row("batch_norm", "no bias", {"bias": False}, (floats(3,),), params=3, statistics=6),
    Row("layer_norm", "vector", {}, (floats(4),), params=8),
    Row("layer_norm", "sequence", {}, (floats(5, 4),), params=8),
    Row("layer_norm", "image as a whole", {"axes": ("height", "width", "channels")},
        (floats(2, 3, 4),), params=48),
    Row("layer_norm", "over space only", {"axes": ("height", "width"), "bias": False},
        (floats(2, 3, 4),), params=6),
    Row("layer_norm", "neither scale nor bias", {"scale": False, "bias": False}, (floats(5, 4),)),
    Row("group_norm", "image", {"groups": 2}, (floats(3, 4, 4),), params=8),
    Row("group_norm", "sequence", {"groups": 2}, (floats(5, 4),), params=8),
    Row("group_norm", "audio, one group", {"groups": 1}, (floats(5, 3, 4, axes=AUDIO),), params=8),
    Row("group_norm", "vector", {"groups": 2}, (floats(6),), params=12),
    Row("instance_norm", "image", {}, (floats(3, 4, 2),), params=4),
    Row("instance_norm", "sequence", {"scale": False, "bias": False}, (floats(6, 3),)),
    Row("rms_norm", "sequence", {}, (floats(5, 4),), params=4),
    Row("rms_norm", "no scale", {"scale": False}, (floats(4),)),
    Row("local_response_norm", "image", {"size": 3, "alpha": 0.5}, (floats(3, 4, 6),)),
    Row("local_response_norm", "even neighbourhood of a sequence",
        {"size": 4, "alpha": 1.0, "k": 2.0}, (floats(5, 6),)),
    Row("normalise", "each channel", {"mean": (0.5, 0.4, 0.3), "deviation": (0.2, 0.3, 0.4)},
        (floats(2, 3, 3),)),
    Row("normalise", "one number", {"mean": 2, "deviation": 4.0}, (floats(5, 3),)),
)
