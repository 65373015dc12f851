"""Formulas: the text after `=` in a spec, parsed and evaluated by rules of our own.

`tree.py` holds the parts of a formula and its limits, `tokens.py` and `parse.py` read the
text, `values.py` and `functions.py` say what operators and functions do, `evaluator.py` puts
them together. Python's `eval` and `ast` have no part in it, so a spec from a stranger can
neither run code nor hang the compiler.
"""

from compiler.expressions.evaluator import evaluate
from compiler.expressions.parse import is_formula, parse_formula
from compiler.expressions.tree import Expression, Formula, FormulaError

__all__ = ["Expression", "Formula", "FormulaError", "evaluate", "is_formula", "parse_formula"]
