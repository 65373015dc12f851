"""Rows of the joins."""

from tests.compiler.operator_table import Row, floats, tokens

SEQUENCE = floats(5, 6)
IMAGE = floats(3, 4, 6)
GATE = floats(6)
WORDS = ("add", "multiply", "average", "maximum", "concat")

ROWS = (
    *(Row(word, inputs=(SEQUENCE, SEQUENCE, SEQUENCE)) for word in WORDS),
    *(Row(word, "image and gate", inputs=(IMAGE, GATE)) for word in (*WORDS, "subtract")),
    *(Row(word, "covariate and sequence", inputs=(GATE, SEQUENCE))
      for word in (*WORDS, "subtract")),
    *(Row(word, "one branch", inputs=(SEQUENCE,)) for word in WORDS),
    Row("stack", "one branch", inputs=(GATE,)),
    Row("subtract", inputs=(SEQUENCE, SEQUENCE)),
    Row("add", "stretched", inputs=(floats(3, 1, 6), floats(1, 4, 6))),
    Row("add", "one step over time", inputs=(floats(1, 6), SEQUENCE)),
    Row("add", "integers", inputs=(tokens(5), tokens(5))),
    Row("add", "axes in another order", inputs=(
        floats(3, 4, 6), floats(4, 3, 6, axes=("width", "height", "channels")))),
    Row("concat", "channels of several widths", inputs=(floats(5, 2), floats(5, 3))),
    Row("concat", "over time", {"axis": "time"}, (SEQUENCE, floats(4, 6), floats(3, 6))),
    Row("concat", "tokens over time", {"axis": "time"}, (tokens(5), tokens(4))),
    Row("concat", "video over time", {"axis": "time"}, (
        floats(4, 2, 3, axes=("time", "width", "channels")),
        floats(3, 2, 3, axes=("time", "width", "channels")))),
    Row("concat", "over height", {"axis": "height"}, (IMAGE, floats(2, 4, 6))),
    Row("stack", "steps", inputs=(GATE, GATE, GATE)),
    Row("stack", "depth", {"axis": "depth"}, (IMAGE, IMAGE)),
    Row("stack", "width of sequences", {"axis": "width"}, (SEQUENCE, SEQUENCE)),
    Row("matmul", inputs=(floats(4, 5, axes=("height", "channels")), SEQUENCE),
        macs=4 * 5 * 6, rows_apart=False),
    Row("matmul", "two sequences", {"axis": "height"}, (
        floats(4, 3, axes=("time", "channels")), floats(3, 7, axes=("height", "channels"))),
        macs=4 * 3 * 7),
    Row("matmul", "transposed", {"axis": "channels"}, (
        SEQUENCE, floats(4, 6, axes=("width", "channels"))), macs=5 * 6 * 4),
    Row("matmul", "batch of steps", {"axis": "channels"}, (
        floats(5, 2, 6, axes=("time", "height", "channels")),
        floats(5, 3, 6, axes=("time", "width", "channels"))),
        macs=5 * (2 * 6 * 3)),
)
