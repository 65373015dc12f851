"""The JSON Schema of recipes: the sections that the runtime adds to a spec."""

from __future__ import annotations

from typing import Any

from pydantic import create_model

from compiler.targets.schema import Schema, map_of, spec_schema, tidy
from runtime.data.named import data_sets
from runtime.recipe import SECTIONS, Recipe
from runtime.search import Search


def recipe_schema() -> Schema:
    """The schema of a spec or recipe."""
    fields: dict[str, Any] = {name: (kind, ...) for name, (kind, _) in SECTIONS.items()}
    fields["search"] = (Search, ...)
    # As fields of one model they have one set of definitions, in which every name is one thing.
    schema = tidy(create_model("Sections", **fields).model_json_schema())
    sections = schema["properties"]
    # What a fetched data set brings along need not be written.
    sections["data"] = {"if": _named(), "then": map_of({}), "else": sections["data"]}
    return spec_schema(Recipe, sections, schema.get("$defs", {}))


def _named() -> Schema:
    return {"type": "object", "required": ["dataset"], "properties": {
        "dataset": {"enum": data_sets(), "description": "a data set that is fetched"}}}
