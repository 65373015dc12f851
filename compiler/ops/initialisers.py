"""The initialisers by name: each argument with its choices, () for any number.

`compiler/lower/initialise.py` holds what they do.
"""

_FAN = {"fan": ("in", "out", "average"), "gain": ()}

INITIALISERS: dict[str, dict[str, tuple[str, ...]]] = {
    "zeros": {},
    "ones": {},
    "constant": {"value": ()},
    "normal": {"stddev": (), "mean": ()},
    "truncated_normal": {"stddev": (), "mean": ()},
    "uniform": {"minval": (), "maxval": ()},
    "kaiming_normal": _FAN,
    "kaiming_uniform": _FAN,
    "lecun_normal": {"gain": ()},
    "lecun_uniform": {"gain": ()},
    "glorot_normal": {"gain": ()},
    "glorot_uniform": {"gain": ()},
    "orthogonal": {"gain": ()},
    "identity": {"gain": ()},
}
