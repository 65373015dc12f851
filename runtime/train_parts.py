"""Parts of `train` about gradients.

Nothing here needs JAX.
"""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from runtime.optim_document import Call
from runtime.section import Section, problem

Positive = Annotated[int, Field(gt=0)]
PositiveNumber = Annotated[float, Field(gt=0)]


class Clip(Section):
    """What large gradients are cut down to."""

    norm: PositiveNumber | None = Field(
        default=None, description="the largest norm of all gradients together")
    value: PositiveNumber | None = Field(default=None, description="the largest absolute value")
    adaptive: PositiveNumber | None = Field(
        default=None, description="the largest norm of a unit's gradient, as a part of the norm "
                                  "of its weights (Brock et al. 2021)")

    @model_validator(mode="after")
    def _cuts_something(self) -> Self:
        if self.norm is None and self.value is None and self.adaptive is None:
            raise problem("`clip` cuts nothing", help="say `clip: {norm: 1.0}`")
        return self

    @property
    def calls(self) -> list[Call]:
        """The optax transformations that it stands for: value, then adaptive, then norm."""
        calls = []
        if self.value is not None:
            calls.append(Call("transforms", "clip", {"max_delta": self.value}))
        if self.adaptive is not None:
            calls.append(Call("transforms", "adaptive_grad_clip", {"clipping": self.adaptive}))
        if self.norm is not None:
            calls.append(Call("transforms", "clip_by_global_norm", {"max_norm": self.norm}))
        return calls
