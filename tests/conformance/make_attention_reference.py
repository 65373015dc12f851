"""Makes attention_reference.npz: PyTorch's nn.MultiheadAttention, its results and gradients.

    pip install torch==2.13.0 && python tests/conformance/make_attention_reference.py

PyTorch is no dependency of the project: the test reads the file. Each case holds the inputs,
the parameters in our layout (in, out), the result, and the gradient of a weighted sum of the
result's real steps by the parameters and the inputs.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import nn

BATCH, QUERIES, SEEN, WIDTH, OTHER, HEADS = 3, 5, 7, 8, 6, 2
CASES = {
    "self": {},
    "lengths": {"lengths": [5, 3, 1]},
    "causal": {"causal": True, "lengths": [5, 3, 1]},
    "memory": {"memory": True, "lengths": [7, 4, 2]},
    "unbiased": {"memory": True, "bias": False},
}


def case(memory: bool = False, causal: bool = False, lengths: list[int] | None = None,
         bias: bool = True) -> dict[str, np.ndarray]:
    """One use of the layer, as arrays by name."""
    other = OTHER if memory else WIDTH
    layer = nn.MultiheadAttention(WIDTH, HEADS, bias=bias, batch_first=True, kdim=other, vdim=other,
                                  dtype=torch.float64)
    for parameter in layer.parameters():
        nn.init.normal_(parameter, std=0.4)
    if not memory:
        # Equal widths: PyTorch keeps one kernel for all three products.
        q, k, v = layer.in_proj_weight.chunk(3)
    else:
        q, k, v = layer.q_proj_weight, layer.k_proj_weight, layer.v_proj_weight
    query = torch.randn(BATCH, QUERIES, WIDTH, dtype=torch.float64, requires_grad=True)
    seen = (torch.randn(BATCH, SEEN, OTHER, dtype=torch.float64, requires_grad=True)
            if memory else query)
    steps = seen.shape[1]
    padded = None if lengths is None else torch.arange(steps) >= torch.tensor(lengths)[:, None]
    mask = torch.ones(QUERIES, steps, dtype=torch.bool).triu(1) if causal else None
    result, _ = layer(query, seen, seen, key_padding_mask=padded, attn_mask=mask)

    weight = torch.randn_like(result)
    if lengths is not None and not memory:
        weight[padded] = 0
    (result * weight).sum().backward()

    def gradient(kernel: torch.Tensor, index: int) -> torch.Tensor:
        return layer.in_proj_weight.grad.chunk(3)[index] if not memory else kernel.grad

    found = {"query": query, "weight": weight, "output": result, "d_query": query.grad}
    for index, (name, kernel) in enumerate([("query", q), ("key", k), ("value", v)]):
        found[f"p.{name}_kernel"] = kernel.T
        found[f"d.{name}_kernel"] = gradient(kernel, index).T
        if bias:
            found[f"p.{name}_bias"] = layer.in_proj_bias.chunk(3)[index]
            found[f"d.{name}_bias"] = layer.in_proj_bias.grad.chunk(3)[index]
    found["p.output_kernel"] = layer.out_proj.weight.T
    found["d.output_kernel"] = layer.out_proj.weight.grad.T
    if bias:
        found["p.output_bias"] = layer.out_proj.bias
        found["d.output_bias"] = layer.out_proj.bias.grad
    if memory:
        found |= {"memory": seen, "d_memory": seen.grad}
    arrays = {name: t.detach().numpy().astype(np.float32) for name, t in found.items()}
    if lengths is not None:
        arrays["lengths"] = np.array(lengths)
    arrays["causal"] = np.array(causal)
    return arrays


def main() -> None:
    torch.manual_seed(0)
    arrays = {f"{name}/{key}": array for name, options in CASES.items()
              for key, array in case(**options).items()}
    np.savez_compressed(Path(__file__).with_name("attention_reference.npz"), **arrays)


if __name__ == "__main__":
    main()
