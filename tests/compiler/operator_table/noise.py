"""Rows of the random operators."""

from tests.compiler.operator_table import Row, floats, tokens

SEQUENCE = floats(5, 6)
IMAGE = floats(3, 4, 6)
TRAINING = ("dropout", "spatial_dropout", "drop_path")

ROWS = (
    *(Row(word, inputs=(SEQUENCE,)) for word in TRAINING),
    *(Row(word, "image", {"rate": 0.2}, (IMAGE,)) for word in TRAINING),
    *(Row(word, "vector", inputs=(floats(6),)) for word in TRAINING),
    Row("gaussian_noise", fields={"stddev": 0.1}, inputs=(SEQUENCE,)),
    Row("random", fields={"shape": (4, 3)}, inputs=(IMAGE,)),
    Row("random", "uniform like the flow", {"distribution": "uniform"}, (SEQUENCE,),
        rows_apart=False),
    Row("random", "beside tokens", {"shape": (7,), "axes": ("width",)}, (tokens(5),),
        rows_apart=False),
)
