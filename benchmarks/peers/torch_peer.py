"""PyTorch on the CPU: eager and compiled, in both memory layouts."""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F

from benchmarks.data import MOMENTUM, Weights, batch
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
        torch_models.set_weights(model, Weights(weights))
        self.model = model.to(memory_format=self.memory_format)
        self.optimizer = torch.optim.SGD(
            self.model.parameters(), lr=row.learning_rate, momentum=MOMENTUM)
        self.forward = torch.compile(self.model) if self.compiled else self.model

    def begin(self) -> torch.Tensor:
        """One step."""
        self.optimizer.zero_grad()
        logits = self.forward(*self.inputs)
        loss = F.cross_entropy(logits.flatten(0, -2), self.labels.flatten())
        loss.backward()
        self.optimizer.step()
        return loss

    def finish(self, begun: torch.Tensor) -> float:
        """The loss."""
        return begun.item()

    def infer(self) -> None:
        """One prediction."""
        with torch.inference_mode():
            self.forward(*self.inputs)

    def phase(self, name: str) -> None:
        """From training to prediction, and back."""
        self.model.train(name == "train")


class ChannelsLast(Peer):
    """Channels last in memory."""

    memory_format = torch.channels_last


class Compiled(Peer):
    """`torch.compile`."""

    compiled = True


class CompiledChannelsLast(ChannelsLast):
    """`torch.compile`, channels last."""

    compiled = True
