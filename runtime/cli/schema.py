"""`flaxspec schema`: the JSON Schema of specs, for editors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from runtime.cli.terminal import say
from runtime.cli.writing import write_text
from runtime.schema import recipe_schema


def run(out: Path | None) -> None:
    """Print the schema, or write it to a file.

    Raises:
        SpecError: F0841 the file cannot be written.
    """
    text = schema_text()
    if out is None:
        say(text.rstrip("\n"))
        return
    write_text(out, text)
    say(f"wrote {out}; let a spec begin with\n"
        f"# yaml-language-server: $schema={out.name}")


def schema_text() -> str:
    """The schema, each section and each definition on a line of its own."""
    whole = recipe_schema()
    groups = {key: whole.pop(key) for key in ("properties", "definitions")}
    lines = [f"{_json(key)}: {_json(value)}" for key, value in whole.items()]
    for name, group in groups.items():
        inside = ",\n".join(f"  {_json(key)}: {_json(value)}" for key, value in group.items())
        lines.append(f"{_json(name)}: {{\n{inside}\n}}")
    return "{\n" + ",\n".join(lines) + "\n}\n"


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
