"""Rows of recurrent layers and their cells."""

from tests.compiler.operator_table import Row, floats

SEQUENCE = floats(5, 3)
VIDEO = floats(3, 4, 5, 2, axes=("time", "height", "width", "channels"))
FILM = floats(3, 6, 2, axes=("time", "width", "channels"))

ROWS = (
    Row("rnn", fields={"units": 4}, inputs=(SEQUENCE,),
        params=(3 + 4) * 4 + 4, macs=5 * (3 + 4) * 4),
    Row("rnn", "relu, backwards, two biases",
        {"units": 4, "activation": "relu", "reverse": True, "biases": 2, "return": "last"},
        (SEQUENCE,), params=(3 + 4) * 4 + 8, macs=5 * (3 + 4) * 4),
    Row("lstm", fields={"units": 4}, inputs=(SEQUENCE,),
        params=4 * ((3 + 4) * 4 + 4), macs=5 * 4 * (3 + 4) * 4),
    Row("lstm", "without biases", {"units": 4, "biases": 0}, (SEQUENCE,),
        params=4 * (3 + 4) * 4, macs=5 * 4 * (3 + 4) * 4),
    Row("lstm", "stacked, both directions, dropped",
        {"units": 4, "layers": 2, "bidirectional": True, "dropout": 0.3, "recurrent_dropout": 0.2},
        (SEQUENCE,), params=2 * 4 * ((3 + 4) * 4 + 4) + 2 * 4 * ((8 + 4) * 4 + 4),
        macs=5 * 2 * 4 * 4 * ((3 + 4) + (8 + 4))),
    Row("lstm", "projected, from a state",
        {"units": 4, "projection": 2, "initial": "start", "return": "state"},
        (SEQUENCE, floats(6)), params=4 * ((3 + 2) * 4 + 4) + 4 * 2,
        macs=5 * (4 * (3 + 2) * 4 + 4 * 2)),
    Row("lstm", "from outputs alone", {"units": 4, "initial": "start", "return": "last"},
        (SEQUENCE, floats(4)), params=4 * ((3 + 4) * 4 + 4), macs=5 * 4 * (3 + 4) * 4),
    Row("lstm", "carried across", {"units": 4, "carry": "across"}, (SEQUENCE,),
        params=4 * ((3 + 4) * 4 + 4), macs=5 * 4 * (3 + 4) * 4),
    Row("gru", fields={"units": 4}, inputs=(SEQUENCE,),
        params=3 * ((3 + 4) * 4 + 4), macs=5 * 3 * (3 + 4) * 4),
    Row("gru", "summed directions, two biases",
        {"units": 4, "layers": 2, "bidirectional": True, "merge": "sum", "biases": 2,
         "return": "last"},
        (SEQUENCE,), params=2 * 3 * ((3 + 4) * 4 + 8) + 2 * 3 * ((4 + 4) * 4 + 8),
        macs=5 * 2 * 3 * 4 * ((3 + 4) + (4 + 4))),
    Row("gru", "reset before", {"units": 4, "reset": "before", "return": "state"}, (SEQUENCE,),
        params=3 * ((3 + 4) * 4 + 4), macs=5 * 3 * (3 + 4) * 4),
    Row("rnn_cell", fields={"units": 4, "state": "before"}, inputs=(floats(3), floats(4)),
        params=(3 + 4) * 4 + 4, macs=(3 + 4) * 4),
    Row("lstm_cell", fields={"units": 4, "projection": 2, "state": "before"},
        inputs=(floats(3), floats(6)), params=4 * ((3 + 2) * 4 + 4) + 8,
        macs=4 * (3 + 2) * 4 + 8),
    Row("gru_cell", fields={"units": 4, "biases": 2, "state": "before"},
        inputs=(floats(3), floats(4)), params=3 * ((3 + 4) * 4 + 8), macs=3 * (3 + 4) * 4),
    Row("conv_lstm", fields={"filters": 3}, inputs=(VIDEO,),
        params=9 * (2 + 3) * 12 + 12, macs=3 * 4 * 5 * 9 * (2 + 3) * 12),
    Row("conv_lstm", "along one axis, from a state",
        {"filters": 3, "kernel": 5, "initial": "start", "return": "last"},
        (FILM, floats(6, 6, axes=("width", "channels"))),
        params=5 * (2 + 3) * 12 + 12, macs=3 * 6 * 5 * (2 + 3) * 12),
)
