"""Makes training_reference.npz: what PyTorch's optimisers and losses give.

    python tests/conformance/make_training_reference.py

PyTorch is needed for nothing else; the tests read the file.
"""

from pathlib import Path

import numpy as np
import torch  # type: ignore[import-not-found]
from torch import nn  # type: ignore[import-not-found]

OUT = Path(__file__).with_name("training_reference.npz")
STEPS = 5


def optimisers() -> dict[str, np.ndarray]:
    """A kernel and a bias after a few steps on given gradients, weight decay on the kernel only."""
    draw = np.random.default_rng(0)
    start = {"kernel": draw.normal(size=(3, 2)), "bias": draw.normal(size=2)}
    gradients = {name: draw.normal(size=(STEPS, *value.shape)) for name, value in start.items()}
    made = {
        "sgd": lambda g: torch.optim.SGD(g, lr=0.1, momentum=0.9),
        "nesterov": lambda g: torch.optim.SGD(g, lr=0.1, momentum=0.9, nesterov=True),
        "adam": lambda g: torch.optim.Adam(g, lr=0.1, betas=(0.8, 0.95)),
        "adamw": lambda g: torch.optim.AdamW(g, lr=0.1),
        "rmsprop": lambda g: torch.optim.RMSprop(g, lr=0.01, alpha=0.9),
    }
    found = {f"start/{name}": value for name, value in start.items()}
    found |= {f"gradients/{name}": value for name, value in gradients.items()}
    for word, make in made.items():
        params = {n: torch.tensor(v, requires_grad=True) for n, v in start.items()}
        decay = 0.0 if word == "rmsprop" else 0.3
        optimiser = make([{"params": [params["kernel"]], "weight_decay": decay},
                          {"params": [params["bias"]], "weight_decay": 0.0}])
        for step in range(STEPS):
            for name, param in params.items():
                param.grad = torch.tensor(gradients[name][step])
            optimiser.step()
        found |= {f"{word}/{name}": param.detach().numpy() for name, param in params.items()}
    return found


def losses() -> dict[str, np.ndarray]:
    """Losses of drawn logits, with class weights, smoothing, and weights of a yes."""
    draw = np.random.default_rng(1)
    logits, labels = draw.normal(size=(12, 5)) * 2, draw.integers(5, size=12)
    weights, answers = draw.uniform(0.2, 3, size=5), draw.integers(2, size=(12, 5))
    given = torch.tensor(logits), torch.tensor(labels)
    yes = torch.tensor(logits), torch.tensor(answers, dtype=torch.float64)
    entropy, binary = nn.CrossEntropyLoss, nn.BCEWithLogitsLoss
    return {
        "logits": logits, "labels": labels, "weights": weights, "answers": answers,
        "cross_entropy": entropy()(*given).numpy(),
        "weighted": entropy(weight=torch.tensor(weights))(*given).numpy(),
        "smoothed": entropy(label_smoothing=0.2)(*given).numpy(),
        "both": entropy(weight=torch.tensor(weights), label_smoothing=0.2)(*given).numpy(),
        "binary": binary()(*yes).numpy(),
        "positive": binary(pos_weight=torch.tensor(weights))(*yes).numpy(),
        "huber": nn.HuberLoss(delta=0.7)(yes[0], yes[1]).numpy(),
    }


if __name__ == "__main__":
    np.savez_compressed(OUT, **optimisers(), **losses())
