"""The JSON Schema for editors: what is shipped fits it, what is broken does not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator

from compiler import zoo
from compiler.diagnostics import Report, SpecError
from compiler.ops import WORDS
from compiler.parse import parse, plain, read_source
from compiler.pipeline import Request
from compiler.source import Source
from runtime.cli.check import check_spec
from runtime.cli.schema import schema_text
from runtime.recipe import Recipe
from tests.test_docs import BLOCK, whole

ROOT = Path(__file__).resolve().parents[1]
SHIPPED = ROOT / "specs" / "flaxspec.schema.json"
ERRORS = ROOT / "tests" / "errors"
MODELINE = "# yaml-language-server: $schema="
HEAD = "flaxspec: 1\ninputs: {x: {shape: [8, 8, 3]}}\n"

# Fields, words and values that are none: what a schema can tell.
PLAIN = ("F0203", "F0205", "F0206", "F0207", "F0612", "F0613")
# Where it cannot: a block's params by the file's own words, a number between others.
BEYOND = {"params_given", "scan"}


@pytest.fixture(scope="module")
def validator() -> Draft7Validator:
    schema = json.loads(SHIPPED.read_text(encoding="utf-8"))
    Draft7Validator.check_schema(schema)
    return Draft7Validator(schema)


def fits(validator: Draft7Validator, source: Source) -> bool:
    return validator.is_valid(plain(parse(source, Report())))


def test_the_schema_that_is_shipped_is_of_these_models() -> None:
    assert json.loads(SHIPPED.read_text(encoding="utf-8")) == json.loads(schema_text()), (
        "the models say something else by now: `make schema` writes the schema anew")


@pytest.mark.parametrize("path", zoo.files(), ids=lambda path: path.stem)
def test_what_is_shipped_fits_and_names_its_schema(path: Path, validator: Draft7Validator) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    named = [line.removeprefix(MODELINE) for line in lines if line.startswith(MODELINE)]
    assert [(path.parent / name).resolve() for name in named] == [SHIPPED], (
        f"above `flaxspec: 1` belongs the line `{MODELINE}../flaxspec.schema.json`")
    assert list(validator.iter_errors(plain(parse(read_source(path), Report())))) == []


@pytest.mark.parametrize("path", [
    path for path in sorted(ERRORS.glob("*.yaml")) if not path.stem.startswith("yaml_")
    and any(f"error[{code}]" in path.with_suffix(".txt").read_text("utf-8") for code in PLAIN)
], ids=lambda path: path.stem)
def test_a_field_that_is_none_does_not_fit(path: Path, validator: Draft7Validator) -> None:
    assert fits(validator, read_source(path)) == (path.stem in BEYOND)


@pytest.mark.parametrize("page", ["README.md", *(
    path.relative_to(ROOT).as_posix() for path in sorted(ROOT.glob("docs/*.md")))])
def test_every_spec_of_a_page_that_is_in_order_fits(
    page: str, validator: Draft7Validator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    for directive, _, kind, text in BLOCK.findall((ROOT / page).read_text(encoding="utf-8")):
        if kind == "yaml":
            before, _, more = directive.partition(" ")
            source = Source(page, whole(text, more if before == "with" else ""))
            if in_order(source):
                found = list(validator.iter_errors(plain(parse(source, Report()))))
                assert not found, f"{source.text}\n{found[0].message}"


def in_order(source: Source) -> bool:
    report = Report()
    try:
        check_spec(Request(source, document=Recipe), report)
    except SpecError:
        return False
    return not report.errors


@pytest.mark.parametrize("rest, right", [
    ("model: [conv: {filters: =a, kernel: [3, '=b']}, relu, my_block, other.block: 3]", True),
    ("model: [conv: {filters: eight, kernel: 3}]", False),
    ("model: [dense: 10, {dense: =n, name: head, when: '=a == 1', freeze: true}]", True),
    ("model: [{dense: 10, freeze: maybe}]", False),
    ("model: [repeat: {times: 3, layer: [relu]}]", False),
    ("model: {use: vgg, variant: vgg16, with: {classes: 3}}", True),
    ("model: {use: vgg, variants: vgg16}", False),
    ("model: [relu]\nparam: {}", False),
    ("defaults: {conv: {bias: false, init: {kernel: {normal: {stddev: 0.1}}}}}\nmodel: [relu]",
     True),
    ("defaults: {conv: {init: {kernel: {normal: {std: 0.1}}}}}\nmodel: [relu]", False),
    ("model: [relu]\ntrain: {epochs: 3, batch_size: 8, optimizer: {adam: 1.0e-3}}", True),
    ("model: [relu]\ntrain: {epochs: 3, batch_size: 8, optimizer: {adm: 1.0e-3}}", False),
    ("model: [relu]\ndata: {dataset: cifar10, validation: 0.1}", True),
    ("model: [relu]\ndata: {dataset: digit}", False),
    ("model: [relu]\ndata: {images: folder, size: 32, normalise: from training split}", True),
])
def test_values(rest: str, right: bool, validator: Draft7Validator) -> None:
    assert fits(validator, Source("t.yaml", HEAD + rest + "\n")) == right


def test_everything_has_a_description() -> None:
    schema = json.loads(schema_text())
    layer = schema["definitions"]["layer"]["anyOf"][2]["properties"]
    assert set(WORDS) <= set(layer)
    bare: list[str] = [name for name, part in layer.items() if not part.get("description")]
    bare += [name for name, part in schema["properties"].items() if not part.get("description")]
    for word in WORDS:
        for choice in _objects(schema["definitions"][f"op_{word}"]):
            bare += [f"{word}.{key}" for key, field in choice["properties"].items()
                     if not field.get("description")]
    assert bare == []


def _objects(schema: dict[str, Any]) -> list[dict[str, Any]]:
    return [choice for choice in schema["anyOf"] if "properties" in choice]
