"""PyTorch on the CPU: eager in both memory layouts, and compiled."""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F

from benchmarks.data import LEARNING_RATE, MOMENTUM, Weights, batch
from benchmarks.peers import torch_models
from benchmarks.rows import Row


class Peer:
    """A row's model, ready to take steps."""

    memory_format = torch.contiguous_format
    compiled = False

    def __init__(self, row: Row, weights: Path):
        """Build the model and compile nothing yet."""
        work = batch(row)
        x = torch.from_numpy(work.x)
        if x.ndim == 4:
            x = x.permute(0, 3, 1, 2).contiguous(memory_format=self.memory_format)
        self.inputs = [x.long() if row.tokens else x]
        if work.lengths is not None:
            self.inputs.append(torch.from_numpy(work.lengths).long())
        self.labels = torch.from_numpy(work.y).long()
        model = torch_models.build(row)
        given = Weights(weights)
        given.two_biases = row.family == "recurrent"
        torch_models.set_weights(model, given)
        self.model = model.to(memory_format=self.memory_format)
        self.optimizer = torch.optim.SGD(
            self.model.parameters(), lr=LEARNING_RATE, momentum=MOMENTUM)
        self.forward = torch.compile(self.model) if self.compiled else self.model

    def train(self) -> float:
        """One step; the loss."""
        self.optimizer.zero_grad()
        logits = self.forward(*self.inputs)
        loss = F.cross_entropy(logits.flatten(0, -2), self.labels.flatten())
        loss.backward()
        self.optimizer.step()
        return loss.item()

    def infer(self) -> None:
        """One prediction."""
        with torch.inference_mode():
            self.forward(*self.inputs)

    def evaluate(self) -> None:
        """From training to prediction."""
        self.model.eval()


class ChannelsLast(Peer):
    """Channels last in memory."""

    memory_format = torch.channels_last


class Compiled(ChannelsLast):
    """`torch.compile`, channels last."""

    compiled = True


def peak(size: int = 2048) -> float:
    """Operations a second of a square matrix product."""
    import time

    a = torch.ones(size, size)
    times = []
    for _ in range(8):
        begun = time.perf_counter()
        a @ a
        times.append(time.perf_counter() - begun)
    return 2 * size**3 / min(times)
