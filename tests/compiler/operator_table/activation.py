"""Rows of the activations."""

from compiler.types import TensorType
from tests.compiler.operator_table import Row, floats, tokens

SEQUENCE = floats(5, 6)
IMAGE = floats(3, 4, 6)

ROWS = (
    *(Row(word, inputs=(SEQUENCE,)) for word in (
        "relu", "relu6", "leaky_relu", "elu", "gelu", "silu", "sigmoid", "tanh", "softmax",
        "log_softmax", "hard_swish", "softplus", "abs", "exp", "stop_gradient", "identity",
    )),
    Row("leaky_relu", "steep", {"slope": 0.3}, (IMAGE,)),
    Row("elu", "alpha", {"alpha": 0.5}, (IMAGE,)),
    Row("gelu", "approximate", {"approximate": True}, (IMAGE,)),
    Row("sigmoid", "no axes", inputs=(TensorType((), ()),)),
    Row("prelu", inputs=(SEQUENCE,), params=6),
    Row("prelu", "image", inputs=(IMAGE,), params=6),
    Row("softmax", "over time", {"axis": "time"}, (SEQUENCE,)),
    Row("softmax", "over width", {"axis": "width"}, (IMAGE,)),
    Row("log_softmax", "over time", {"axis": "time"}, (SEQUENCE,)),
    Row("softmax", "over time without channels", {"axis": "time"},
        (TensorType(("time",), (5,)),)),
    Row("maxout", inputs=(SEQUENCE,)),
    Row("maxout", "three pieces", {"pieces": 3}, (IMAGE,)),
    Row("abs", "integers", inputs=(tokens(5),)),
    Row("clip", fields={"min": -0.5, "max": 0.5}, inputs=(SEQUENCE,)),
    Row("clip", "one bound of integers", {"max": 3.0}, (tokens(5),)),
    Row("scale", inputs=(SEQUENCE,), params=6),
    Row("scale", "small", {"init_value": 1e-4}, (IMAGE,), params=6),
    Row("identity", "tokens", inputs=(tokens(5),)),
    Row("cast", "tokens to float", {"to": "float"}, (tokens(5),)),
    Row("cast", "float to int", {"to": "int"}, (SEQUENCE,)),
    Row("cast", "float to float", {"to": "float"}, (SEQUENCE,)),
    Row("cast", "float to bool", {"to": "bool"}, (IMAGE,)),
)
