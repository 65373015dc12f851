"""Which words can be names: in a formula, and as attributes of the module that is made."""

from __future__ import annotations

import keyword

from compiler.expressions.tokens import CONSTANTS, KEYWORDS

# What formulas call the tensor that arrives at a layer.
INPUT = "input"

# The name of the result of a graph whose outputs the author did not name.
OUTPUT = "output"

# What every compiled model and each of its parts has already: the attributes of nnx.Module
# and of compiler.lower.module's classes. A layer of that name would hide it.
ATTRIBUTES = frozenset({
    "decode", "deterministic", "eval", "execute", "iter_children", "iter_modules", "perturb",
    "rngs", "run", "set_attributes", "sow", "tensors", "train",
})

FORM = "a name has letters, digits and `_`, and begins with a letter"


MAX_NAME = 100  # characters; a path holds many names, and a model many paths


def form_problem(name: str) -> str:
    """Why a word has not the form of a name; "" where it has."""
    if not name.isidentifier() or name.startswith("_"):
        return FORM
    return f"a name has at most {MAX_NAME} characters" if len(name) > MAX_NAME else ""


def layer_name_problem(name: str) -> str:
    """Why a word cannot be the name of a layer, branch or key of weights; "" where it can."""
    if problem := form_problem(name):
        return problem
    if keyword.iskeyword(name):
        return f"`{name}` is a word of Python, where layers are attributes of the model"
    if name in ATTRIBUTES:
        return f"every model has a method or attribute `{name}`, which the layer would hide"
    if name == INPUT:
        return "in formulas `input` is the tensor that arrives at a layer"
    if name == OUTPUT:
        return "`output` is what a model or block gives in the end"
    return ""


def value_name_problem(name: str) -> str:
    """Why a word cannot be the name of a param, a value or an input; "" where it can."""
    if problem := form_problem(name):
        return problem
    if name in KEYWORDS or name in CONSTANTS:
        return f"`{name}` has a meaning of its own in formulas"
    if name == INPUT:
        return "in formulas `input` is the tensor that arrives at a layer"
    return ""
