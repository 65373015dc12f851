"""The JSON Schema of a spec, for editors: made of the operator classes and the document's models.

It says what a single file can tell: sections, operators with their fields, modifiers, kinds of
values, with the descriptions of the reference. Whether names lead anywhere and shapes fit is
for `flaxspec check`. A formula may stand wherever a value may.

Draft 7, which every editor reads.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from pydantic import TypeAdapter

from compiler.layers import JOINS, SECTIONS, STRUCTURE
from compiler.modifiers import MODIFIERS
from compiler.ops import WORDS, operator
from compiler.ops.base import Operator
from compiler.ops.initialisers import INITIALISERS
from compiler.params import TYPES
from compiler.spec import (
    Block,
    Document,
    Extended,
    Fact,
    Input,
    ModelUse,
    Param,
    Section,
    Used,
)
from compiler.validate import is_raw

Schema = dict[str, Any]

DRAFT = "http://json-schema.org/draft-07/schema#"
FORMULA: Schema = {"type": "string", "pattern": "^=", "description": "a formula"}
TEXT: Schema = {"type": "string"}
NULL: Schema = {"type": "null"}
NAME = r"^[A-Za-z_][\w.]*$"  # of an operator, or of a block, of a used file's too


def ref(name: str) -> Schema:
    return {"$ref": f"#/definitions/{name}"}


def any_of(*choices: Schema) -> Schema:
    return {"anyOf": list(choices)}


def or_formula(*choices: Schema) -> Schema:
    return any_of(*choices, ref("formula"))


def map_of(value: Schema, **more: Any) -> Schema:
    return {"type": "object", "additionalProperties": value, **more}


def spec_schema(
    document: type[Document], sections: Mapping[str, Schema], definitions: Mapping[str, Schema],
) -> Schema:
    """The schema of a spec file.

    Args:
        document: the class of the document.
        sections: schemas of the sections that its subclass adds, by name.
        definitions: what those refer to.
    """
    root = _object(document, {**_SECTIONS, **sections})
    root["properties"]["flaxspec"] = {"const": 1, "description": "the version of the language"}
    return {"$schema": DRAFT, "title": "flaxspec", "description": "A flaxspec spec or recipe.",
            **root, "definitions": {**_definitions(), **definitions}}


# ------------------------------------------------------------------------------ the document

# What a text of the document may be in place of what its model says.
_SECTIONS: dict[str, Schema] = {
    "source": any_of(TEXT, {"type": "array", "items": TEXT}),
    "extends": any_of(TEXT, ref("extended")),
    "patch": map_of(ref("patch")),
    "params": map_of(ref("param")),
    "let": map_of({}),
    "variants": map_of({"type": ["object", "null"], "description": "values of params"}),
    "facts": map_of(ref("fact")),
    "inputs": map_of(ref("input")),
    "use": map_of(any_of(TEXT, ref("used"))),
    "defaults": ref("defaults"),
    "blocks": map_of(ref("block")),
    "model": any_of(ref("layers"), ref("model_use")),
    "outputs": map_of(TEXT),
}

_SIZE = or_formula({"type": "integer", "minimum": 1}, {"const": "any"})


def _definitions() -> dict[str, Schema]:
    """What the sections refer to."""
    found: dict[str, Schema] = {
        "formula": FORMULA,
        "extended": _object(Extended),
        "param": any_of(
            {"enum": list(TYPES), "description": "a param that must be given, of this type"},
            _object(Param), {"type": ["string", "number", "boolean", "null"]}, {"type": "array"}),
        "fact": _object(Fact),
        "input": _object(Input, {"shape": or_formula({"type": "array", "items": _SIZE}),
                                 "vocabulary": or_formula({"type": "integer", "minimum": 1}),
                                 "length": _SIZE}),
        "used": _object(Used, {"with": map_of({})}),
        "model_use": _object(ModelUse, {"with": map_of({})}),
        "block": _object(Block, {
            "params": map_of(ref("param")), "let": map_of({}), "layers": ref("layers"),
            "inputs": {"type": "array", "items": TEXT}, "outputs": map_of(TEXT)}),
        "patch": any_of({"const": "remove"}, {
            "type": "object", "minProperties": 1, "additionalProperties": False, "properties": {
                "set": map_of({}, description="new values for fields and modifiers"),
                "replace": {"description": "layers to put in its place"},
                "before": {"type": "array", "description": "layers to put before it"},
                "after": {"type": "array", "description": "layers to put after it"}}}),
        "layers": or_formula({"type": "array", "items": ref("layer")}),
        "layer": _layer(),
        "initialiser": _initialiser(),
        "defaults": {"type": "object", "additionalProperties": map_of({}), "properties": {
            word: any_of(_fields(operator(word), init=_MODIFIERS["init"]), NULL)
            for word in WORDS}},
    }
    for word in WORDS:
        found[f"op_{word}"] = _operator(operator(word))
    return found


def _object(model: type[Section], own: Mapping[str, Schema] | None = None) -> Schema:
    """A section's fields, those of `own` as it says."""
    schema = TypeAdapter(model).json_schema()
    properties = {}
    for name, field in schema["properties"].items():
        told = {"description": field["description"]} if "description" in field else {}
        properties[name] = any_of(own[name], NULL) | told if own and name in own else (
            tidy(field))
    required = {"required": schema["required"]} if "required" in schema else {}
    return {"type": "object", "properties": properties, "additionalProperties": False,
            **required}


def tidy(schema: Any) -> Any:
    """A schema of Pydantic's for draft 7: without titles, and with no words of newer drafts."""
    if isinstance(schema, list):
        return [tidy(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    found: Schema = {}
    for key, value in schema.items():
        if key == "properties":
            found[key] = {name: tidy(part) for name, part in value.items()}
        elif key == "prefixItems":
            found |= {"items": tidy(value), "additionalItems": False}
        elif key == "oneOf":
            found["anyOf"] = tidy(value)
        elif key == "$ref":
            found[key] = value.replace("#/$defs/", "#/definitions/")
        elif key == "description":
            found[key] = value.partition("\n\n")[0].replace("\n", " ")
        elif key not in ("title", "discriminator", "default") or key == "default" and (
                value is not None):
            found[key] = tidy(value)
    if "$ref" in found and len(found) > 1:  # beside which nothing is read in draft 7
        found["allOf"] = [{"$ref": found.pop("$ref")}]
    return found


# --------------------------------------------------------------------------------- the layers


def _layer() -> Schema:
    """One layer: a word, or a map of a word and modifiers."""
    # In draft 7 nothing is read beside a bare `$ref`.
    properties = {word: {"description": _line(operator(word)), "allOf": [ref(f"op_{word}")]}
                  for word in WORDS}
    properties |= {word: _join(operator(word)) for word in JOINS}
    properties |= {word: _structure(word) for word in STRUCTURE}
    return any_of(
        {"type": "string", "enum": [*WORDS], "description": "an operator alone",
         "enumDescriptions": [_line(operator(word)) for word in WORDS]},
        {"type": "string", "pattern": NAME, "description": "a block alone"},
        {"type": "object", "minProperties": 1, "propertyNames": {"pattern": NAME},
         "properties": properties | _modifiers(), "additionalProperties": True})


def _operator(cls: type[Operator]) -> Schema:
    """What may stand behind an operator's word."""
    choices = [_fields(cls), NULL]
    if cls.main is not None:
        main = _field(cls, cls.main)
        choices.insert(0, main)
        choices.append(ref("formula"))
    return any_of(*choices)


def _fields(cls: type[Operator], **more: Schema) -> Schema:
    """An operator's fields; none is required, since `defaults` may have it."""
    names = [info.alias or name for name, info in cls.model_fields.items()]
    return {"type": "object", "additionalProperties": False,
            "properties": {name: _field(cls, name) for name in names} | more}


def _field(cls: type[Operator], name: str) -> Schema:
    schema = _schema_of(cls)
    field = schema["properties"][name]
    told = {"description": field["description"]} if "description" in field else {}
    if field.get("default") is not None:
        told["default"] = field["default"]
    return opened(tidy(_inlined(field, schema.get("$defs", {})))) | told


@cache
def _schema_of(cls: type[Operator]) -> Schema:
    return TypeAdapter(cls).json_schema()


def _inlined(schema: Any, definitions: Mapping[str, Any]) -> Any:
    """A schema with the definitions that it refers to in their places."""
    if isinstance(schema, list):
        return [_inlined(part, definitions) for part in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        return _inlined(definitions[schema["$ref"].rpartition("/")[2]], definitions)
    return {key: _inlined(part, definitions) for key, part in schema.items()}


def opened(schema: Schema) -> Schema:
    """A schema with a formula allowed for every value in it."""
    if "anyOf" in schema:
        choices = [part for choice in schema["anyOf"] for part in (
            opened(choice).get("anyOf", [opened(choice)]))]
        unique = [part for i, part in enumerate(choices) if part not in choices[:i]]
        return {key: value for key, value in schema.items() if key != "anyOf"} | {"anyOf": unique}
    found = dict(schema)
    if isinstance(schema.get("items"), dict):
        found["items"] = opened(schema["items"])
    elif isinstance(schema.get("items"), list):
        found["items"] = [opened(part) for part in schema["items"]]
    if "properties" in schema:
        found["properties"] = {name: opened(part) for name, part in schema["properties"].items()}
    if isinstance(schema.get("additionalProperties"), dict):
        found["additionalProperties"] = opened(schema["additionalProperties"])
    if schema.get("type") in ("string", "null") and "enum" not in schema and (
            "const" not in schema):
        return found
    return or_formula(found)


def _line(cls: type[Operator]) -> str:
    return (cls.__doc__ or "").strip().partition("\n")[0]


def _join(cls: type[Operator]) -> Schema:
    """Branches by name beside the join's own fields, or a list of names."""
    fields = {info.alias or name: _field(cls, info.alias or name)
              for name, info in cls.model_fields.items()}
    branch = any_of(ref("layers"), NULL)
    return {"description": _line(cls), **any_of(
        {"type": "array", "items": TEXT}, NULL,
        {"type": "object", "additionalProperties": branch,
         "properties": {name: any_of(field, branch) for name, field in fields.items()}})}


def _initialiser() -> Schema:
    names = {name: {"type": ["object", "null"], "additionalProperties": False, "properties": {
        key: or_formula({"enum": list(choices)}) if choices else or_formula({"type": "number"})
        for key, choices in arguments.items()}} for name, arguments in INITIALISERS.items()}
    return or_formula({"enum": list(INITIALISERS)}, {"type": "number"}, {
        "type": "object", "properties": names, "additionalProperties": False,
        "minProperties": 1, "maxProperties": 1})


def _structure(word: str) -> Schema:
    """What may stand behind the word of a construct."""
    if word not in SECTIONS:
        return {"description": _TOLD.get(word, ""), "allOf": [ref("layers")]}
    model = SECTIONS[word]
    own = {name: _INSIDE.get(name, {}) for name, info in model.model_fields.items()
           if is_raw(info)}
    told = {"description": _TOLD.get(word, (model.__doc__ or "").strip().replace("`", ""))}
    section = _object(model, own)
    return told | (any_of(ref("layers"), section) if word == "layers" else section)


# What the fields of constructs are, where the model keeps the piece of the text.
_INSIDE: dict[str, Schema] = {
    "layers": ref("layers"), "let": map_of({}), "cases": map_of(any_of(ref("layers"), NULL)),
    "each": map_of(or_formula({"type": "array"})),
    "times": or_formula({"type": "integer", "minimum": 0}),
}
_TOLD = {
    "layers": "layers as one; with `each`, on every step of an axis",
    "residual": "`add` with the input itself as the other branch",
}

_TRUTH = or_formula({"type": "boolean"})
_MODIFIERS: dict[str, Schema] = {
    "name": {"type": "string", "description": "what it is called, in references and in paths"},
    "from": {"description": "what arrives, in place of the layer before: one name or several",
             **any_of(TEXT, {"type": "array", "items": TEXT, "minItems": 1})},
    "when": {"description": "where it is false, the layer is not there", **_TRUTH},
    "weights": {"type": "string", "description": "layers of one key share their weights"},
    "during": {"description": "the phases in which it exists",
               **or_formula({"enum": ["training", "evaluation", "always"]})},
    "freeze": {"description": "its weights and statistics stay as they are", **_TRUTH},
    "init": {"description": "how its parameters begin, by role: `{kernel: zeros}`",
             **map_of(ref("initialiser"))},
    "remat": {"description": "compute it again in the backward pass, to save memory", **_TRUTH},
    "was": {"type": "string", "description": "the path that it had in older files of weights"},
}


def _modifiers() -> dict[str, Schema]:
    return {word: _MODIFIERS.get(word, {}) for word in MODIFIERS}
