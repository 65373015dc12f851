"""Rows of attention."""

from tests.compiler.operator_table import Row, floats

STATE = floats(6)
QUERY = floats(4, 6)
MEMORY = floats(5, 6)
OTHER = floats(5, 3)
IMAGE = floats(2, 3, 6)
OF = {"memory": "encoder"}

ROWS = (
    Row("attention", fields=OF, inputs=(QUERY, MEMORY), macs=4 * 5 * 6 + 4 * 5 * 6),
    Row("attention", "of one state", OF, (STATE, MEMORY), macs=2 * 5 * 6),
    Row("attention", "of an image", OF | {"scaled": True}, (QUERY, IMAGE), macs=2 * 4 * 6 * 6),
    Row("attention", "general", OF | {"score": "general"}, (QUERY, OTHER), params=6 * 3,
        macs=4 * 6 * 3 + 4 * 3 * 5 + 4 * 5 * 3),
    Row("attention", "additive", OF | {"score": "additive", "units": 7}, (QUERY, OTHER),
        params=6 * 7 + 3 * 7 + 7,
        macs=4 * 6 * 7 + 5 * 3 * 7 + 4 * 5 * 7 + 4 * 5 * 3),
    Row("attention", "additive of one state", OF | {"score": "additive"}, (STATE, OTHER),
        params=6 * 6 + 3 * 6 + 6, macs=6 * 6 + 5 * 3 * 6 + 5 * 6 + 5 * 3),
    Row("multi_head_attention", "self", {"heads": 2, "bias": False}, (MEMORY,),
        params=4 * 6 * 6, macs=4 * 5 * 6 * 6 + 2 * 5 * 5 * 6),
    Row("multi_head_attention", "causal", {"heads": 3, "causal": True, "bias": False}, (MEMORY,),
        params=4 * 6 * 6, macs=4 * 5 * 6 * 6 + 2 * 5 * 5 * 6),
    Row("multi_head_attention", "memory and own width",
        OF | {"heads": 2, "units": 8, "dropout": 0.2}, (QUERY, OTHER),
        params=(6 * 8 + 8) + 2 * (3 * 8 + 8) + (8 * 6 + 6),
        macs=4 * 6 * 8 + 2 * 5 * 3 * 8 + 2 * 4 * 5 * 8 + 4 * 8 * 6),
    Row("multi_head_attention", "of an image with itself", {"heads": 2}, (IMAGE,),
        params=4 * (6 * 6 + 6), macs=4 * 6 * 6 * 6 + 2 * 6 * 6 * 6),
    Row("positional_encoding", inputs=(MEMORY,)),
    Row("positional_encoding", "odd", inputs=(OTHER,)),
    Row("positional_encoding", "learned", {"kind": "learned", "length": 8}, (MEMORY,),
        params=8 * 6),
)
