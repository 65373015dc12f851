"""Linear autoregression with ridge penalty: the baseline of forecasting."""

from __future__ import annotations

import numpy as np

PENALTIES = tuple(10.0**power for power in range(-3, 5))


def ridge_forecast(past: np.ndarray, future: np.ndarray, new: np.ndarray) -> np.ndarray:
    """Forecasts of a linear map from all past values to all future ones.

    The penalty is the one that forecasts the last fifth of the training windows best,
    fitted on those before.

    Args:
        past: (examples, window, columns) of the training part.
        future: (examples, horizon, targets) of the training part.
        new: (examples, window, columns) to forecast from.

    Returns:
        (examples, horizon, targets).
    """
    inputs, targets = _flat(past), future.reshape(len(future), -1).astype(np.float64)
    first = max(len(inputs) * 4 // 5, 1)

    def loss(penalty: float) -> float:
        weights = _fit(inputs[:first], targets[:first], penalty)
        return float(np.square(inputs[first:] @ weights - targets[first:]).sum())

    weights = _fit(inputs, targets, min(PENALTIES, key=loss))
    return (_flat(new) @ weights).reshape(len(new), *future.shape[1:])


def _flat(past: np.ndarray) -> np.ndarray:
    """The past values in a row, with a constant 1 behind: (examples, window · columns + 1)."""
    rows = past.reshape(len(past), -1).astype(np.float64)
    return np.concatenate([rows, np.ones((len(rows), 1))], axis=1)


def _fit(inputs: np.ndarray, targets: np.ndarray, penalty: float) -> np.ndarray:
    """(Xᵀ X + penalty · I)⁻¹ Xᵀ Y, the constant without penalty."""
    gram = inputs.T @ inputs
    ridge = np.full(len(gram), penalty)
    ridge[-1] = 1e-9
    gram[np.diag_indices_from(gram)] += ridge
    return np.linalg.solve(gram, inputs.T @ targets)
