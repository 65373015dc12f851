"""The data files that come with the package; NOTICE says where each is from.

digits.npz: images (1797, 8, 8) and labels (1797,), uint8, pixels 0 … 16; scikit-learn's
    `digits.csv.gz`, saved by `numpy.savez_compressed`.
sunspots.csv: the yearly mean sunspot number, 1700 to 2008; statsmodels' file, unchanged.
seattle_weather.csv: daily weather in Seattle, 2012 to 2015; vega_datasets' file, unchanged.
"""

from __future__ import annotations

from pathlib import Path


def path(name: str) -> Path:
    """Where an embedded file lies."""
    return Path(__file__).parent / name
