"""Writes ctc_reference.npz, losses and gradients of PyTorch's CTC in float64.

    python tests/conformance/make_ctc_reference.py

It needs PyTorch, which the tests do not.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

FRAMES, CLASSES = 9, 5
# Repeats, one unit, no unit, as many as frames, and at last a text that does not fit.
LABELS = [[1, 2, 3, 4], [2, 2, 3, 0], [4, 0, 0, 0], [0, 0, 0, 0], [1, 2, 1, 2], [3, 3, 3, 0]]
LENGTHS = [4, 3, 1, 0, 4, 3]
ROWS = [9, 7, 5, 6, 4, 4]


def main() -> None:
    """Write the file beside this one."""
    rng = np.random.default_rng(0)
    logits = 2 * rng.standard_normal((len(ROWS), FRAMES, CLASSES))
    weights = rng.uniform(0.5, 1.5, len(ROWS))
    x = torch.tensor(logits, requires_grad=True)
    loss = torch.nn.functional.ctc_loss(
        torch.log_softmax(x, -1).transpose(0, 1), torch.tensor(LABELS), torch.tensor(ROWS),
        torch.tensor(LENGTHS), blank=0, reduction="none")
    (loss[:-1] * torch.tensor(weights[:-1])).sum().backward()
    assert x.grad is not None
    np.savez_compressed(
        Path(__file__).with_name("ctc_reference.npz"), logits=logits, weights=weights,
        labels=np.array(LABELS, np.int32), lengths=np.array(LENGTHS, np.int32),
        frames=np.array(ROWS, np.int32), loss=loss.detach().numpy(), gradient=x.grad.numpy())


if __name__ == "__main__":
    main()
