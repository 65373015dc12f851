"""flaxspec: neural networks as YAML, compiled to Flax.

    import flaxspec
    model = flaxspec.build("resnet50")      # an ordinary nnx.Module
    logits = model(images)                  # (batch, height, width, channels) -> (batch, classes)

Importing this module is cheap: JAX is imported when something is built.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flaxspec_commands import refuse_shadowed_packages

refuse_shadowed_packages()

from compiler.diagnostics import Diagnostic, SpecError  # noqa: E402
from compiler.ops.base import Init, Operator, Parameter, ShapeError  # noqa: E402
from compiler.types import TensorType  # noqa: E402
from compiler.version import VERSION  # noqa: E402

if TYPE_CHECKING:
    from compiler.lower.module import Model
    from compiler.source import Source
    from runtime.notebook import Loss
    from runtime.report.console import Form
    from runtime.report.listener import Listener
    from runtime.saved import Trained

__version__ = VERSION
__all__ = ["Diagnostic", "Init", "Operator", "Parameter", "ShapeError", "SpecError", "TensorType",
           "build", "for_inference", "load", "train"]


def build(
    spec: str | Path, *, variant: str = "", params: Mapping[str, Any] | None = None,
    operators: Sequence[type[Operator]] = (), seed: int = 0, dtype: Any = None,
    param_dtype: Any = None, abstract: bool = False, kernels: str = "auto",
    weights: str | Path | None = None, inference: bool = False,
) -> Model:
    """Compile a spec into an `nnx.Module`.

    Example:
        >>> model = flaxspec.build("resnet_cifar", variant="resnet20", params={"classes": 5})
        >>> model.eval()
        >>> model(jnp.zeros((1, 32, 32, 3))).shape
        (1, 5)

    Args:
        spec: a path, or a name from the zoo such as "resnet50"; of a recipe, its model.
        variant: one of the spec's variants.
        params: values for its params, as in `{"classes": 10}`.
        operators: operators of your own, usable in the spec by their `word`; each is an
            `Operator` with a method `apply(layer, inputs, context)` that gives a tensor.
        seed: of the initial parameters; each depends on it and on its own path alone.
        dtype: what floats are computed in; float32 where not given.
        param_dtype: what parameters are kept in; float32 where not given.
        abstract: describe the arrays instead of drawing them, as `nnx.eval_shape` does.
        kernels: "auto", or "reference" for XLA's plain operations.
        weights: a file with every array of the model, in place of those that the spec itself
            names: the `weights.safetensors` of a run, or one of PyTorch's, torchvision's, timm's
            or Keras's (docs/weights.md).
        inference: give the model that `for_inference` makes.

    Raises:
        SpecError: with every error of the spec, or of a file of weights.
    """
    from compiler.lower.build import build_spec
    from runtime.asking import spec_of
    from runtime.recipe import Recipe

    return build_spec(spec_of(spec), variant=variant, params=params, operators=tuple(operators),
                      seed=seed, dtype=dtype, param_dtype=param_dtype, abstract=abstract,
                      kernels=kernels, weights=weights, inference=inference, document=Recipe)


def for_inference(model: Model) -> Model:
    """A model for evaluation only: it computes what `model.eval()` does, with less work.

    Batch norms are folded into the layers before them, and what only training needs is gone.
    Its arrays are made of those that `model` has now; the paths of folded layers are gone. Of
    a spec whose heads exist in training only it gives the one output that is left, not a dict.
    Do not train it.

    Args:
        model: a model that `build` made.
    """
    from compiler.lower.fold import inference_model

    return inference_model(model)


def train(
    spec: str | Path | Source, *, data: Any = None, task: str | Mapping[str, Any] | None = None,
    train: Mapping[str, Any] | None = None, settings: Mapping[str, Any] | Sequence[str] = (),
    losses: Mapping[str, Loss] | None = None, variant: str = "", out: str | Path | None = None,
    listeners: Sequence[Listener] = (), log: Form = "auto",
) -> Trained:
    """Train a recipe, on its own data or on arrays.

    Example:
        >>> run = flaxspec.train(
        ...     "model.yaml", data=(images, labels), task="classification",
        ...     train={"epochs": 5, "batch_size": 64, "optimizer": {"adam": 1e-3}})
        >>> run.summary["test"]
        {'loss': 0.1377, 'accuracy': 0.9611, 'f1': 0.9608}
        >>> run.predict(images[:1])[0]["label"]
        '7'

    Args:
        spec: a path, a name from the zoo, or the text of a spec (with a line break in it).
        data: arrays in place of the recipe's data: a pair of input and target, or a map from
            field to array; or such for "train", "validation" and "test". What is not given is
            cut from the training examples. The first axis is that of the examples.
        task: the recipe's `task`, where it has none or another is meant.
        train: the recipe's `train`, likewise.
        settings: what `--set` sets: `{"train.epochs": 5}`.
        losses: functions of the outputs and the batch's arrays, each a map from name to array
            (batch, ...), that give (batch,) losses; their sum is trained in place of the task's.
        variant: one of the spec's variants.
        out: the run's folder; the next free `runs/NAME-NUMBER` where not given.
        listeners: who else hears of the run, such as trackers of your own.
        log: "auto", "live", "plain", "json" or "quiet".

    Raises:
        SpecError: the recipe, the data or the run is not in order.
    """
    from runtime import notebook

    return notebook.train(spec, data=data, task=task, train=train, settings=settings,
                          losses=losses, variant=variant, out=out, listeners=listeners, log=log)


def load(run: str | Path) -> Trained:
    """A finished run: its module with what stands before and behind it.

    Example:
        >>> run = flaxspec.load("digits-1")
        >>> run.predict(["seven.png"])[0]["label"]
        '7'
        >>> logits = run.model(images)

    Args:
        run: its folder, or its name in `runs/`.

    Raises:
        SpecError: F0810 it is not the folder of a finished run, F0805 and F0806 its weights are
            damaged.
    """
    from runtime import saved

    return saved.load(run)
