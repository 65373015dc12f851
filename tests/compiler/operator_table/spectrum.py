"""Rows of the operators on frequencies."""

from tests.compiler.operator_table import Row, floats

# (40 - 16) // 8 + 1 steps; a transform of 16 points tells 9 frequencies apart.
SOUND = floats(40, 1)
FIELDS = {"rate": 1000, "bands": 3, "window": 16, "step": 8}

ROWS = (
    Row("log_mel", fields=FIELDS, inputs=(SOUND,), macs=4 * 9 * 3),
    Row("log_mel", "seconds, Slaney's scale, two channels, normalised by band",
        {"rate": 1000, "bands": 2, "window": 0.012, "step": 0.005, "points": 20, "low": 20.0,
         "high": 450.0, "scale": "slaney", "normalise": "band"},
        (floats(40, 2),), macs=6 * 11 * 2 * 2),
    Row("log_mel", "shorter than a window, normalised", {**FIELDS, "normalise": "utterance"},
        (floats(9, 1),), macs=9 * 3),
)
