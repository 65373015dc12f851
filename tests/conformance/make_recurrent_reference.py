"""Writes recurrent_reference.npz: what PyTorch's recurrent layers give, in float64.

Run by hand with PyTorch and NumPy installed; the tests only read the file:

    python tests/conformance/make_recurrent_reference.py

For each case the file holds, under `case/kind/name`:

    setting/…    layers, bidirectional, and the like
    input/…      x (batch, time, features), lengths (batch,), h0, c0 (layers · directions, batch, …)
    parameter/…  PyTorch's weights by PyTorch's names
    output/…     sequence, h, c
    weight/…     the loss is the sum of every output times its weight, over real steps
    gradient/…   of that loss, by the names of inputs and parameters
    error/…      for every output and gradient, how far PyTorch's own float32 is from its
                 float64: max|a - b| / max|b|
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch  # type: ignore[import-not-found]
from torch import nn  # type: ignore[import-not-found]
from torch.nn.utils.rnn import (  # type: ignore[import-not-found]
    pack_padded_sequence,
    pad_packed_sequence,
)

BATCH, TIME, FEATURES, UNITS = 3, 5, 3, 5
LENGTHS = [3, 5, 1]

CASES = {
    "rnn": {"module": nn.RNN, "layers": 2, "bidirectional": True, "lengths": LENGTHS},
    "rnn_relu": {"module": nn.RNN, "nonlinearity": "relu"},
    "lstm": {"module": nn.LSTM, "layers": 2, "bidirectional": True, "lengths": LENGTHS},
    "lstm_plain": {"module": nn.LSTM, "bias": False},
    "lstm_projection": {"module": nn.LSTM, "layers": 2, "bidirectional": True,
                        "lengths": LENGTHS, "proj_size": 2},
    "gru": {"module": nn.GRU, "layers": 2, "bidirectional": True, "lengths": LENGTHS},
    "gru_plain": {"module": nn.GRU},
    "gru_before": {"module": None, "lengths": LENGTHS},
}


class ResetBefore(nn.Module):
    """The GRU of Cho et al. 2014, which PyTorch does not have, one step after another."""

    def __init__(self, features: int, units: int):
        super().__init__()
        self.weight_ih_l0 = nn.Parameter(torch.randn(3 * units, features) / 2)
        self.weight_hh_l0 = nn.Parameter(torch.randn(3 * units, units) / 2)
        self.bias_ih_l0 = nn.Parameter(torch.randn(3 * units) / 2)

    def forward(self, x, h, lengths):
        rows = []
        for row in range(len(x)):
            state, out = h[0, row], []
            for t in range(lengths[row]):
                w_r, w_z, w_n = self.weight_ih_l0.chunk(3)
                u_r, u_z, u_n = self.weight_hh_l0.chunk(3)
                b_r, b_z, b_n = self.bias_ih_l0.chunk(3)
                r = torch.sigmoid(w_r @ x[row, t] + u_r @ state + b_r)
                z = torch.sigmoid(w_z @ x[row, t] + u_z @ state + b_z)
                n = torch.tanh(w_n @ x[row, t] + u_n @ (r * state) + b_n)
                state = (1 - z) * n + z * state
                out.append(state)
            out += [torch.zeros_like(state)] * (x.shape[1] - lengths[row])
            rows.append((torch.stack(out), state))
        return torch.stack([r[0] for r in rows]), torch.stack([r[1] for r in rows])[None]


def run(case: dict, arrays: dict[str, np.ndarray], dtype: torch.dtype) -> dict[str, np.ndarray]:
    """Outputs and gradients of one case, every array cast to `dtype` first."""
    def load(name):
        return torch.tensor(arrays[name], dtype=dtype).requires_grad_()

    module = build(case).to(dtype)
    with torch.no_grad():
        for name, p in module.named_parameters():
            p.copy_(torch.tensor(arrays[f"parameter/{name}"], dtype=dtype))
    inputs = {k.split("/")[1]: load(k) for k in arrays if k in ("input/x", "input/h0", "input/c0")}
    lengths = case.get("lengths")
    if case["module"] is None:
        sequence, h = module(inputs["x"], inputs["h0"], lengths)
        outputs = {"sequence": sequence, "h": h}
    else:
        state = (inputs["h0"], inputs["c0"]) if "c0" in inputs else inputs["h0"]
        x = inputs["x"]
        if lengths:
            x = pack_padded_sequence(x, torch.tensor(lengths), batch_first=True,
                                     enforce_sorted=False)
        sequence, state = module(x, state)
        if lengths:
            sequence, _ = pad_packed_sequence(sequence, batch_first=True, total_length=TIME)
        h, c = state if isinstance(state, tuple) else (state, None)
        outputs = {"sequence": sequence, "h": h} | ({} if c is None else {"c": c})
    parts = [(o * torch.tensor(arrays[f"weight/{k}"], dtype=dtype)).sum()
             for k, o in outputs.items()]
    torch.stack(parts).sum().backward()
    results = {f"output/{k}": o for k, o in outputs.items()}
    results |= {f"gradient/{k}": v.grad for k, v in inputs.items()}
    results |= {f"gradient/{k}": p.grad for k, p in module.named_parameters()}
    return {k: v.detach().double().numpy() for k, v in results.items()}


def build(case: dict) -> nn.Module:
    if case["module"] is None:
        return ResetBefore(FEATURES, UNITS)
    keys = ("bidirectional", "bias", "proj_size", "nonlinearity")
    return case["module"](FEATURES, UNITS, case.get("layers", 1), batch_first=True,
                          **{k: case[k] for k in keys if k in case})


def main() -> None:
    file: dict[str, np.ndarray] = {}
    rng = np.random.default_rng(0)
    for name, case in CASES.items():
        layers, directions = case.get("layers", 1), 1 + case.get("bidirectional", False)
        state = case.get("proj_size", UNITS)
        stacked = layers * directions
        arrays = {"input/x": rng.standard_normal((BATCH, TIME, FEATURES)),
                  "input/h0": rng.standard_normal((stacked, BATCH, state)),
                  "weight/sequence": rng.standard_normal((BATCH, TIME, state * directions)),
                  "weight/h": rng.standard_normal((stacked, BATCH, state))}
        if case["module"] is nn.LSTM:
            arrays["input/c0"] = rng.standard_normal((stacked, BATCH, UNITS))
            arrays["weight/c"] = rng.standard_normal((stacked, BATCH, UNITS))
        for key, p in build(case).named_parameters():
            arrays[f"parameter/{key}"] = rng.standard_normal(p.shape) / 2
        exact = run(case, arrays, torch.float64)
        single = run(case, arrays, torch.float32)
        errors = {f"error/{k}": np.abs(single[k] - v).max() / np.abs(v).max()
                  for k, v in exact.items()}
        settings = {f"setting/{k}": np.array(v) for k, v in case.items()
                    if k not in ("module", "lengths")}
        if "lengths" in case:
            arrays["input/lengths"] = np.array(case["lengths"])
        file |= {f"{name}/{k}": np.asarray(v)
                 for k, v in (settings | arrays | exact | errors).items()}
    path = Path(__file__).with_name("recurrent_reference.npz")
    np.savez_compressed(path, **file)  # type: ignore[arg-type]
    print(path.name, path.stat().st_size, "bytes,", torch.__version__)


if __name__ == "__main__":
    main()
