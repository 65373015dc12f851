"""Where the two commands begin: before anything is imported whose name others may use, too."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path


def refuse_shadowed_packages() -> None:
    """The package names are generic: say whose they are, where another one is in the way.

    Raises:
        ImportError: `compiler` or `runtime` would be imported from somewhere else.
    """
    home = Path(__file__).resolve().parent
    for name in ("compiler", "runtime"):
        spec = importlib.util.find_spec(name)
        found = Path(spec.origin).resolve() if spec is not None and spec.origin else None
        if found is None or found.parent.parent != home:
            raise ImportError(
                f"flaxspec needs its own package `{name}` from {home / name}, but Python finds "
                f"{found or 'none'} first: rename that one, or take its folder off sys.path")


def flaxspec() -> None:
    """`flaxspec`: the verbs."""
    _complain_if_shadowed()
    from runtime.cli.main import main

    main()


def compile_and_train() -> None:
    """`compile-and-train`."""
    _complain_if_shadowed()
    from runtime.cli.process import compile_and_train

    compile_and_train()


def _complain_if_shadowed() -> None:
    """End with status 2 where another package is in the way, and say which."""
    try:
        refuse_shadowed_packages()
    except ImportError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from None
