"""`extends` and `patch`: specs made of other specs."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from compiler import zoo
from compiler.addresses import find
from compiler.diagnostics import Report, SpecError, render
from compiler.graph import Call, Each, Graph, subgraph
from compiler.home import Home
from compiler.merge import merged
from compiler.parse import parse
from compiler.pipeline import Request, graph_of, make_program, read_spec
from compiler.printer import graph_text
from compiler.program import Program
from compiler.source import Source
from compiler.targets.canonical import canonical_text, write_canonical
from compiler.targets.origins import origins_text
from compiler.tree import Mapping, plain
from runtime.data import anchored
from runtime.recipe import Recipe

GOLDEN = Path(__file__).resolve().parents[1] / "golden"

BASE = """\
flaxspec: 1
name: base
summary: What the others extend
params:
  units: 8
  deep: {type: int, default: 3, min: 1}
  rate: float
variants:
  small: {units: 4, rate: 1}
  tiny: {extends: small, deep: 1}
facts:
  small: {params: 1}
inputs: {x: {shape: [4]}}
defaults: {dense: {init: {kernel: {normal: {stddev: 0.5}}}}}
blocks:
  part:
    params: {n: 2}
    layers: [dense: =n, relu]
model:
  - {dense: =units, name: stem}
  - repeat:
      times: =deep
      index: stage
      layers:
        - dense: =units
        - part: 2
        - {layers: [tanh, part], when: =stage < 2}
  - {add: {body: [dense: 2], shortcut: []}}
  - choose: {value: =deep, cases: {1: [{elu: , name: end}], 3: [{dense: 5, name: end}]}}
  - {add: {left: [sigmoid], right: []}, name: join}
  - {output: {name: aux, layers: [dense: 7]}}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "base.yaml").write_text(BASE)
    return tmp_path


def program(folder: Path, text: str, *assignments: str, variant: str = "") -> Program:
    """The program of a file beside the base."""
    (folder / "main.yaml").write_text(f"flaxspec: 1\n{text}")
    report = Report()
    request = Request(folder / "main.yaml", variant, assignments, document=Recipe)
    found = make_program(request, report)
    report.check()
    return found


def patched(folder: Path, patch: str = "", *assignments: str) -> Program:
    head = "extends: {spec: base.yaml, variant: small}\n"
    return program(folder, head + (f"patch:\n  {patch}\n" if patch else ""), *assignments)


def layers(made: Program) -> list[str]:
    """The layers of a program's model, as the graph has them: "stem = dense {units: 4}"."""
    lines = graph_text(graph_of(made, Report())).split("\n\n")[0].splitlines()
    return [re.sub(r"(#\d+)? \(.*", "", line.strip()) for line in lines if " = " in line]


def told(folder: Path, text: str, *assignments: str) -> list[str]:
    with pytest.raises(SpecError) as error:
        program(folder, text, *assignments)
    return [f"{d.code} {d.headline}" for d in error.value.diagnostics]


PLAIN = [
    "stem = dense {units: 4}",
    "stage0.dense_1 = dense {units: 4}",
    "stage0.part_1 = call part",
    "stage0.tanh_1 = tanh",
    "stage0.part_2 = call part",
    "stage1.dense_1 = dense {units: 4}",
    "stage1.part_1 = call part",
    "stage1.tanh_1 = tanh",
    "stage1.part_2 = call part",
    "stage2.dense_1 = dense {units: 4}",
    "stage2.part_1 = call part",
    "body.dense_1 = dense {units: 2}",
    "add_1 = add",
    "end = dense {units: 5}",
    "join.left.sigmoid_1 = sigmoid",
    "join = add",
    "aux.dense_1 = dense {units: 7}",
]


def changes(made: Program) -> tuple[list[str], list[str]]:
    """The layers that the base has and a program has not, and the other way round."""
    found = layers(made)
    return [line for line in PLAIN if line not in found], [x for x in found if x not in PLAIN]


# -------------------------------------------------------------------------------- merging


def test_without_patches_a_spec_is_its_base(folder: Path):
    assert layers(patched(folder)) == PLAIN


def test_maps_merge_and_everything_else_replaces(folder: Path):
    made = program(folder, """\
extends: base.yaml
summary: Another
params: {units: 6, rate: 0.5, more: [1, 2]}
variants: {small: {units: 5}, own: {extends: tiny, rate: 2}}
inputs: {x: {shape: [9]}, y: {shape: [2]}}
""", variant="own")
    values = made.scope
    assert (values["units"], values["deep"], values["rate"], values["more"]) == (5, 1, 2.0, [1, 2])
    assert plain(made.tree["inputs"]) == {"x": {"shape": [9]}, "y": {"shape": [2]}}
    assert (made.document.summary, made.document.name) == ("Another", "")
    assert list(made.tree["params"]) == ["units", "deep", "rate", "more"]  # type: ignore[arg-type]


def test_name_and_facts_of_a_base_are_not_claimed_of_another_spec(folder: Path):
    made = patched(folder)
    assert made.name == "main"
    assert "facts" not in made.tree and "name" not in made.tree
    own = program(folder, "extends: base.yaml\nname: mine\nfacts: {small: {params: 2}}\n",
                  variant="small")
    assert plain(own.tree["facts"]) == {"small": {"params": 2}}


def test_a_key_with_nothing_after_it_takes_the_value_of_the_base_away(folder: Path):
    made = program(folder, "extends: base.yaml\nvariants:\nparams: {rate: 1}\n")
    assert made.document.variants is None


def test_a_param_keeps_its_type_and_bounds(folder: Path):
    assert told(folder, "extends: base.yaml\nparams: {deep: 0, units: wide, rate: 1}\n") == [
        "F0213 param `units` of `main` takes a whole number, not the text `wide`",
        "F0213 param `deep` of `main` must be at least 1, not 0"]
    made = program(folder, "extends: base.yaml\nparams: {rate: 1, units: {type: float, "
                           "default: 2.5}, deep: =1 + 1}\nmodel: [relu]\n")
    assert [repr(made.scope[k]) for k in ("rate", "units", "deep")] == ["1.0", "2.5", "2"]


def test_a_variant_as_the_base_gives_the_defaults_and_no_variants(folder: Path):
    made = patched(folder)
    assert (made.scope["units"], made.scope["rate"]) == (4, 1.0)
    assert "variants" not in made.tree
    own = program(folder, "extends: {spec: base.yaml, variant: tiny}\n"
                          "variants: {small: {units: 3}}\n", variant="small")
    assert (own.scope["units"], own.scope["deep"], own.name) == (3, 1, "small")


@pytest.mark.parametrize("base, over, expected", [
    ("{adamw: {learning_rate: 1, b1: 2}}", "{adamw: {b1: 3}}",
     {"adamw": {"learning_rate": 1, "b1": 3}}),
    ("{adamw: {learning_rate: 1}}", "{sgd: 2}", {"sgd": 2}),
    ("{sgd: {learning_rate: {cosine: {a: 1}}, b: 1}}", "{sgd: {learning_rate: {linear: {b: 1}}}}",
     {"sgd": {"learning_rate": {"linear": {"b": 1}}, "b": 1}}),
    ("[clip: 1, sgd: 2]", "{adam: 1}", {"adam": 1}),
])
def test_a_choice_gives_way_to_another_one(base: str, over: str, expected: object):
    def recipe(text: str) -> Mapping:
        return parse(Source("r.yaml", f"train: {{seed: 1, optimizer: {text}}}"), Report())

    found = merged(recipe(base), recipe(over), Recipe.one_of)
    assert plain(found["train"]) == {"seed": 1, "optimizer": expected}


def test_other_data_takes_the_place_of_all_of_it():
    def recipe(text: str) -> Mapping:
        return parse(Source("r.yaml", f"data: {text}"), Report())

    base = recipe("{dataset: digits, validation: 0.1}")
    assert plain(merged(base, recipe("{validation: 0.2}"), Recipe.one_of)["data"]) == {
        "dataset": "digits", "validation": 0.2}
    assert plain(merged(base, recipe("{images: photos}"), Recipe.one_of)["data"]) == {
        "images": "photos"}


def test_a_base_may_extend_another_and_a_recipe_a_recipe(folder: Path):
    (folder / "middle.yaml").write_text(
        "flaxspec: 1\nextends: {spec: base.yaml, variant: small}\nparams: {units: 5}\n"
        "patch: {model.stem: {set: {bias: false}}}\n"
        "data: {dataset: digits, augment: [{shift: 1}, {noise: 0.1}]}\ntask: classification\n"
        "train: {epochs: 3, batch_size: 8, optimizer: {adamw: 0.1}}\n")
    made = program(folder, "extends: middle.yaml\ntrain: {epochs: 4}\npatch:\n"
                           "  model.stem: {before: [tanh]}\n  data.augment.shift_1: remove\n"
                           "  train.optimizer: {replace: {sgd: 0.2}}\n")
    assert layers(made)[:2] == ["tanh_1 = tanh", "stem = dense {units: 5, bias: false}"]
    assert plain(made.tree["train"]) == {"epochs": 4, "batch_size": 8, "optimizer": {"sgd": 0.2}}
    assert plain(made.tree["data"]) == {"dataset": "digits", "augment": [{"noise": 0.1}]}


# -------------------------------------------------------------------------------- patches


@pytest.mark.parametrize("patch, gone, new", [
    ("model.stem: {set: {units: 9, freeze: true}}",
     ["stem = dense {units: 4}"], ["stem = dense {units: 9}"]),
    ("model.stem: {replace: [relu]}", ["stem = dense {units: 4}"], ["stem = relu"]),
    ("model.stem: {replace: [relu, gelu]}", ["stem = dense {units: 4}"],
     ["stem.relu_1 = relu", "stem.gelu_1 = gelu"]),
    ("model.stem: {before: relu, after: [gelu], set: {units: 3}}", ["stem = dense {units: 4}"],
     ["relu_1 = relu", "stem = dense {units: 3}", "gelu_1 = gelu"]),
    ("model.add_1: {after: [{dense: 3, name: last}]}", [], ["last = dense {units: 3}"]),
    ("model.aux: remove", ["aux.dense_1 = dense {units: 7}"], []),
    ("model.aux.dense_1: {set: {units: 2}}", ["aux.dense_1 = dense {units: 7}"],
     ["aux.dense_1 = dense {units: 2}"]),
    ("model.body.dense_1: {set: {bias: false}}", ["body.dense_1 = dense {units: 2}"],
     ["body.dense_1 = dense {units: 2, bias: false}"]),
    ("model.body: {after: [gelu]}", [], ["body.gelu_1 = gelu"]),
    ("model.join.left: {replace: [gelu, elu]}", ["join.left.sigmoid_1 = sigmoid"],
     ["join.left.gelu_1 = gelu", "join.left.elu_1 = elu"]),
    ("model.join: {set: {middle: [gelu]}}", [], ["join.middle.gelu_1 = gelu"]),
    ("model.end: {set: {name: other}}", ["end = dense {units: 5}"], ["other = dense {units: 5}"]),
    ("model: {after: [softmax]}", [], ["softmax_1 = softmax"]),
    ("model.stage: {set: {times: 2}}",
     ["stage2.dense_1 = dense {units: 4}", "stage2.part_1 = call part"], []),
    ("model.repeat_1: {after: [gelu]}", [], ["gelu_1 = gelu"]),
    ("model.stage.tanh_1: remove", ["stage0.tanh_1 = tanh", "stage1.tanh_1 = tanh"], []),
    ("model.stage.layers_1: remove",
     [x for x in PLAIN if "tanh" in x or "part_2" in x], []),
    # One iteration.
    ("model.stage1.dense_1: {set: {units: 3}}", ["stage1.dense_1 = dense {units: 4}"],
     ["stage1.dense_1 = dense {units: 3}"]),
    ("model.stage1.tanh_1: remove", ["stage1.tanh_1 = tanh"], []),
    ("model.stage1.tanh_1: {replace: [elu, gelu]}", ["stage1.tanh_1 = tanh"],
     ["stage1.elu_1 = elu", "stage1.gelu_1 = gelu"]),
    ("model.stage1.part_1: {before: [elu], after: [gelu]}", [],
     ["stage1.elu_1 = elu", "stage1.gelu_1 = gelu"]),
    ("model.stage1.dense_1: {before: [elu], set: {units: 3}}",
     ["stage1.dense_1 = dense {units: 4}"],
     ["stage1.elu_1 = elu", "stage1.dense_1 = dense {units: 3}"]),
    ("model.stage2: {before: [elu], after: [gelu]}", [],
     ["stage2.elu_1 = elu", "stage2.gelu_1 = gelu"]),
    ("model.stage1: remove", [x for x in PLAIN if x.startswith("stage1")], []),
    ("model.stage2: {replace: [elu]}", [x for x in PLAIN if x.startswith("stage2")],
     ["stage2.elu_1 = elu"]),
])
def test_a_patch_changes_what_its_path_names_and_nothing_else(
    patch: str, gone: list[str], new: list[str], folder: Path,
):
    assert changes(patched(folder, patch)) == (gone, new)


def test_two_iterations_may_be_patched_apart(folder: Path):
    made = patched(folder, "model.stage0.dense_1: {set: {units: 2}}\n"
                           "  model.stage2.dense_1: {set: {units: 3}}\n"
                           "  model.stage1.dense_1: remove")
    assert [line for line in layers(made) if ".dense_1" in line and "stage" in line] == [
        "stage0.dense_1 = dense {units: 2}", "stage2.dense_1 = dense {units: 3}"]


def test_a_block_is_patched_for_all_its_uses(folder: Path):
    text = graph_text(graph_of(patched(
        folder, "blocks.part.relu_1: {replace: [gelu]}\n"
                "  blocks.part: {before: [{dense: 1, name: squeeze}]}"), Report()))
    assert text.count("gelu_1 = gelu") == text.count("squeeze = dense {units: 1}") == 2


def test_all_cases_with_a_name_are_meant(folder: Path):
    made = program(folder, "extends: base.yaml\npatch: {model.end: {set: {freeze: true}}}\n",
                   variant="tiny")
    assert graph_text(graph_of(made, Report())).count("end = elu") == 1
    assert canonical_text(made).count("freeze: true") == 2


def test_the_short_form_of_a_layer_takes_more_fields(folder: Path):
    made = patched(folder, "model.stem: {set: {bias: false}}\n"
                           "  model.stage.part_1: {set: {remat: true}}\n"
                           "  model.stage.part_2: {set: {n: 6}}")
    assert "stem = dense {units: 4, bias: false}" in layers(made)
    assert "- part: {n: 6}" in canonical_text(made)


def test_null_takes_a_field_or_modifier_away(folder: Path):
    made = patched(folder, "model.stage.layers_1: {set: {when: }}\n  model.stem: {set: {name: }}")
    assert {"dense_1 = dense {units: 4}", "stage2.tanh_1 = tanh"} <= set(layers(made))


def test_entries_of_maps_are_replaced_and_removed(folder: Path):
    made = patched(folder, "defaults.dense: remove\n  inputs.x: {replace: {shape: [5]}}\n"
                           "  params.deep.min: remove")
    assert "defaults" in made.tree and not made.tree["defaults"]  # type: ignore[truthy-bool]
    assert plain(made.tree["inputs"]) == {"x": {"shape": [5]}}


def test_layers_written_without_dashes_are_found(folder: Path):
    (folder / "short.yaml").write_text(
        "flaxspec: 1\ninputs: {x: {shape: [4]}}\nblocks: {one: {layers: {dense: 3}}}\n"
        "model: [one, {add: {left: relu: , right: }}]\n".replace("relu: ,", "{relu: },"))
    made = program(folder, "extends: short.yaml\npatch:\n  blocks.one.dense_1: {set: {units: 4}}\n"
                           "  model.left.relu_1: {replace: [gelu]}\n"
                           "  model.right: {after: [tanh]}\n")
    text = graph_text(graph_of(made, Report()))
    assert "dense {units: 4}" in text and "left.gelu_1" in text and "right.tanh_1" in text


@pytest.mark.parametrize("patch, message", [
    ("model.stage5.dense_1: remove",
     "F0231 `model.stage5.dense_1` leads nowhere: there is no `stage5`"),
    ("model.join.left.relu_1: remove", "F0231 `model.join.left.relu_1` leads nowhere"),
    ("model.stage: remove\n  model.stage.dense_1: remove",
     "F0233 two patches meet at `model.stage.dense_1`: `model.stage` takes its place away"),
    ("model.stage1: remove\n  model.stage1.dense_1: {after: [relu]}",
     "F0233 two patches meet at `model.stage1.dense_1`: `model.stage1` takes its place away"),
    ("model.stage1.dense_1: remove\n  model.stage.dense_1: {set: {units: 2}}",
     "F0233 two patches meet at `model.stage.dense_1`: both change it"),
])
def test_a_patch_that_cannot_be_is_told(patch: str, message: str, folder: Path):
    head = "extends: {spec: base.yaml, variant: small}\n"
    assert message in told(folder, f"{head}patch:\n  {patch}")


def test_an_iteration_that_only_a_variant_has_may_be_patched(folder: Path):
    text = ("extends: base.yaml\nparams: {deep: 1, rate: 0}\nvariants: {long: {deep: 3}}\n"
            "patch: {model.stage2.dense_1: {set: {units: 1}}}\n")
    assert "stage2.dense_1 = dense {units: 1}" in layers(program(folder, text, variant="long"))
    assert "F0231" in told(folder, text.replace("long: {deep: 3}", "small: {deep: 2}"))[0]


def test_the_layers_of_a_used_model_are_patched_where_they_are(folder: Path):
    (folder / "recipe.yaml").write_text("flaxspec: 1\nmodel: {use: base.yaml, variant: small}\n")
    with pytest.raises(SpecError) as error:
        program(folder, "extends: recipe.yaml\npatch: {model.stem: remove}\n")
    assert "the layers are those of `base.yaml`" in error.value.diagnostics[0].help


# ------------------------------------------------------------------------ paths are one rule


def _paths(graph: Graph, prefix: str) -> list[str]:
    """The paths of a graph's layers, those of the steps of `each` among them."""
    found = []
    for node in graph.nodes:
        path = f"{prefix}{node.outputs[0].name}" if node.outputs else ""
        if path:
            found.append(path)
        if isinstance(node.operation, Each):
            found += _paths(node.operation.graph, f"{path}.")
    return found


@pytest.mark.parametrize("name", [
    "resnet18", "resnet20_b", "googlenet_aux", "se_resnet18", "vgg11_bn", "mobilenet_v2",
    "bilstm_classifier", "zaremba_small", str(GOLDEN / "tiny.yaml")])
def test_every_layer_of_a_model_has_the_path_that_a_patch_takes(name: str):
    """Paths of the graph, found in the tree by `addresses`, which numbers layers for itself."""
    request = Request(name, document=Recipe)
    tree, *_ = read_spec(request, Report())
    graph = graph_of(make_program(request, Report()), Report())
    looked, missing = set(), []
    waiting: list[tuple[Graph, str]] = [(graph, "model.")]
    while waiting:
        current, prefix = waiting.pop()
        if (id(current), prefix) in looked:
            continue
        looked.add((id(current), prefix))
        for node in current.nodes:
            path = prefix + next(iter(node.outputs.values())).name
            # A layer that a param of type `layers` holds belongs to the param.
            if not find(tree, path) and not any(s in path for s in ("act", "activation", "gate")):
                missing.append(path)
            inner = subgraph(node)
            if isinstance(node.operation, Call) and inner is not None:
                if inner.name in cast(dict, tree.get("blocks", {})):
                    waiting.append((inner, f"blocks.{inner.name}."))
    assert not missing


# ------------------------------------------------------------------------------ properties

EDITS = ["model.stem: {set: {units: 7}}", "model.stage.dense_1: {after: [gelu]}",
         "model.stage1.part_1: remove", "blocks.part.relu_1: {replace: [elu]}",
         "model.body: {before: [tanh]}", "model.aux.dense_1: {set: {bias: false}}",
         "model.join: {before: [softplus]}", "params.more: {replace: 1}"]


@given(chosen=st.lists(st.sampled_from(EDITS[:-1]), unique=True), chance=st.randoms())
@settings(max_examples=10, deadline=None, suppress_health_check=[
    HealthCheck.function_scoped_fixture])
def test_patches_in_any_order_or_one_after_the_other_give_the_same(
    chosen: list[str], chance, tmp_path: Path,
):
    """Of different places: one file with all of them, in any order, or a chain of files."""
    (tmp_path / "base.yaml").write_text(BASE)
    together = canonical_text(patched(tmp_path, "\n  ".join(chosen)))
    shuffled = list(chosen)
    chance.shuffle(shuffled)
    assert canonical_text(patched(tmp_path, "\n  ".join(shuffled))) == together
    before = "{spec: base.yaml, variant: small}"
    for number, edit in enumerate(shuffled):
        (tmp_path / f"step{number}.yaml").write_text(
            f"flaxspec: 1\nextends: {before}\npatch:\n  {edit}\n")
        before = f"step{number}.yaml"
    assert canonical_text(program(tmp_path, f"extends: {before}\n")) == together


@given(name=st.sampled_from(sorted(set(zoo.index()) - {"mobile"})),
       patch=st.sampled_from(["", "patch:\n", "patch: {}\n"]))
@settings(max_examples=8, deadline=None)
def test_an_empty_patch_changes_nothing(name: str, patch: str):
    text = f"flaxspec: 1\nname: same\nextends: {name}\n{patch}"
    found = make_program(Request(Source("same.yaml", text), document=Recipe), Report())
    whole = make_program(Request(name, document=Recipe), Report())
    assert canonical_text(found).replace("name: same", f"name: {whole.name}", 1) == (
        canonical_text(whole))


# ------------------------------------------------------------------- where values come from


def test_a_resolved_spec_with_origins_prints_as_it_did(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(GOLDEN)
    request = Request("tiny_extended.yaml", assignments=("noise=0.5",), document=Recipe)
    report = Report()
    made = make_program(request, report)
    report.check()
    text = origins_text(made)
    if os.environ.get("GOLDEN") == "write":
        Path("tiny_extended.origins.txt").write_text(text, encoding="utf-8")
    assert text == Path("tiny_extended.origins.txt").read_text(encoding="utf-8")
    again = make_program(Request(Source("again.yaml", text.split("\n# used/")[0].replace(
        "used/mobile.yaml", "mobile"))), report)
    assert graph_text(graph_of(again, report)) == graph_text(graph_of(made, report))


def test_a_resolved_spec_stands_alone(folder: Path):
    (folder / "lib.yaml").write_text("flaxspec: 1\nblocks: {lib: {layers: [gelu]}}\n")
    first = program(folder, "extends: {spec: base.yaml, variant: small}\nuse: {lib: lib.yaml}\n"
                            "patch:\n  model.stage1.dense_1: {set: {units: 3}}\n"
                            "  blocks.part: {after: [lib.lib]}\n", "units=6")
    path = write_canonical(first, folder / "out")
    for file in ("base.yaml", "lib.yaml", "main.yaml"):
        (folder / file).unlink()
    second = make_program(Request(path), Report())
    assert graph_text(graph_of(second, Report())) == graph_text(graph_of(first, Report()))
    assert "extends" not in canonical_text(first) and "patch" not in canonical_text(first)


def test_a_complaint_points_at_the_file_that_the_value_stands_in(folder: Path):
    (folder / "base.yaml").write_text(BASE.replace("dense: 2]", "dense: =units - 9]"))
    with pytest.raises(SpecError) as error:
        made = program(folder, "extends: {spec: base.yaml, variant: small}\nparams: {units: 5}\n"
                               "patch:\n  model.stem: {set: {units: 0}}\n")
        graph_of(made, Report())
    assert sorted(str(d.labels[0].span).rpartition("/")[2] for d in error.value.diagnostics) == [
        "main.yaml:5:29"]
    with pytest.raises(SpecError) as error:
        graph_of(program(folder, "extends: {spec: base.yaml, variant: small}\n"), Report())
    assert "base.yaml:28:26" in render(error.value.diagnostics[0])


# ------------------------------------------------------------------------------ --set


@pytest.mark.parametrize("assignment, line", [
    ("model.stem.units=3", "stem = dense {units: 3}"),
    ("model.stem.dense.units=3", "stem = dense {units: 3}"),
    ("model.stem.name=root", "root = dense {units: 4}"),
    ("model.stem=relu", "stem = relu"),
    ("model.stage1.tanh_1=gelu", "stage1.gelu_1 = gelu"),
    ("model.stage1.dense_1.units=1", "stage1.dense_1 = dense {units: 1}"),
    ("model.body.dense_1.bias=false", "body.dense_1 = dense {units: 2, bias: false}"),
])
def test_set_reaches_layers_by_their_paths(assignment: str, line: str, folder: Path):
    assert line in layers(patched(folder, "", assignment))


def test_set_removes_layers_and_sees_the_params_that_are_set(folder: Path):
    assert "end = dense {units: 5}" not in layers(patched(folder, "", "model.end=remove"))
    text = "extends: {spec: base.yaml, variant: small}\n"
    assert told(folder, text, "model.stage3.dense_1.units=1")[0].startswith("F0231")
    assert told(folder, text, "model.stage1.dense_1.units=1", "deep=1")[0].startswith("F0231")
    assert "stage3.dense_1 = dense {units: 1}" in graph_text(graph_of(program(
        folder, f"{text}patch: {{model.choose_1: remove, model.join: remove}}\n",
        "model.stage3.dense_1.units=1", "deep=4"), Report()))


@pytest.mark.parametrize("assignment, message", [
    ("extends=base.yaml", "F0219 `extends` cannot be set: the spec is put together before"),
    ("patch.x=1", "F0219 `patch` cannot be set: the spec is put together before"),
    ("model.stm.units=3", "F0219 `model.stm.units` leads nowhere"),
    ("model.stage.part_1.dense_1.units=3",
     "F0219 `model.stage.part_1.dense_1.units` cannot be set: `part_1` is a use of the block "
     "`part`"),
])
def test_a_set_of_a_layer_that_cannot_be_is_told(assignment: str, message: str, folder: Path):
    assert message in told(folder, "extends: {spec: base.yaml, variant: small}\n", assignment)


# --------------------------------------------------------------------- files and their folders


@pytest.mark.parametrize("extends, message", [
    ("bas.yaml", "F0217 there is no file `bas.yaml`"),
    ("resnet51", "F0217 there is no file and no zoo model `resnet51`"),
    ("main.yaml", "F0230 `{}main.yaml` extends itself"),
    ("../base.yaml", "F0234 `../base.yaml` is outside the folder that the spec was opened from"),
    ("/base.yaml", "F0234 `/base.yaml` is outside the folder that the spec was opened from"),
    ("link.yaml", "F0234 `link.yaml` leads by a link outside the folder that the spec was opened "
                  "from"),
    ("{spec: base.yaml, variant: smal}", "F0212 `base` has no variant `smal`"),
    ("{spec: base.yaml, varient: small}", "F0203 `varient` is not a field of `extends`"),
    ("{variant: small}", "F0201 `extends` names either a spec or a bundle"),
    ("{spec: base.yaml, bundle: b}", "F0201 `extends` names either a spec or a bundle"),
    ("3", "F0201 `extends` names one spec"),
    ("[base.yaml]", "F0201 `extends` names one spec"),
    ("old.yaml", "F0218 the file is written in version 0 of the language; this program knows "
                 "version 1"),
])
def test_a_base_that_cannot_be_is_told(extends: str, message: str, tmp_path: Path):
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "base.yaml").write_text(BASE)
    (folder / "old.yaml").write_text("flaxspec: 0\nmodel: [relu]\n")
    (tmp_path / "outside.yaml").write_text(BASE)
    (folder / "link.yaml").symlink_to(tmp_path / "outside.yaml")
    assert told(folder, f"extends: {extends}\n") == [message.format(f"{folder}/")]


def test_a_chain_of_bases_comes_to_an_end(tmp_path: Path):
    for i in range(30):
        (tmp_path / f"f{i}.yaml").write_text(f"flaxspec: 1\nextends: f{i + 1}.yaml\n")
    assert told(tmp_path, "extends: f0.yaml\n") == ["F0230 more than 16 specs extend one another"]


def test_a_spec_that_grows_by_its_bases_and_patches_comes_to_an_end(
    folder: Path, monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr("compiler.patching.MAX_NODES", 250)
    many = f"[{', '.join(['relu'] * 200)}]"
    head = "extends: {spec: base.yaml, variant: small}\npatch:\n  "
    grown = "F0116 with what it extends, the spec has more than 250 values"
    assert told(folder, f"{head}model: {{before: {many}, after: {many}}}\n") == [grown]
    (folder / "big.yaml").write_text(f"{BASE}  - {{layers: {many}, name: big}}\n")
    assert told(folder, "extends: {spec: big.yaml, variant: small}\n") == [grown]
    loop = f"{{repeat: {{times: 3, index: i, layers: [{{layers: {many}, name: a}}]}}}}"
    (folder / "loop.yaml").write_text(f"{BASE}  - {loop}\n")
    patches = "".join(f"  model.i{i}.a: {{set: {{freeze: true}}}}\n" for i in range(3))
    assert told(folder, f"extends: loop.yaml\nparams: {{rate: 1}}\npatch:\n{patches}")[0] == (
        "F0116 with its patches the spec has more than 250 values")
    deep = "[" + "{layers: [" * 20 + "relu" + "]}" * 20 + "]"
    (folder / "deep.yaml").write_text(f"flaxspec: 1\n{head}model.end: {{replace: {deep}}}\n")
    assert told(folder, f"extends: deep.yaml\npatch: {{model.end.relu_1: {{replace: {deep}}}}}\n"
                ) == ["F0115 with what it extends, the spec is nested more than 64 levels deep"]


def test_paths_of_a_base_begin_where_it_lies(tmp_path: Path):
    """Its used files, weights and data, whatever folder the spec is in that extends it."""
    (tmp_path / ".git").mkdir()
    for name in ("bases/parts", "recipes"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "bases" / "base.yaml").write_text(
        "flaxspec: 1\nuse: {parts: parts/lib.yaml}\nmodel: {use: parts/lib.yaml, "
        "weights: w.safetensors}\ndata: {table: t.csv, target: a}\n")
    (tmp_path / "bases" / "parts" / "lib.yaml").write_text(
        "flaxspec: 1\nextends: ../../other.yaml\ninputs: {x: {shape: [4]}}\n")
    (tmp_path / "other.yaml").write_text("flaxspec: 1\nmodel: [relu]\n")
    made = program(tmp_path / "recipes", "extends: ../bases/base.yaml\n")
    assert made.weights_file == tmp_path / "recipes/../bases/w.safetensors"
    assert made.used["parts"].layers
    assert plain(anchored(made.tree["data"], made.directory))["table"] == str(
        tmp_path / "recipes/../bases/t.csv")


def test_used_files_and_weights_stay_in_the_folder_too(folder: Path):
    (folder / "inner").mkdir()
    (folder / "base.yaml").write_text(BASE.replace("rate: float", "rate: 1.5"))
    (folder / "inner" / "up.yaml").write_text("flaxspec: 1\nuse: {b: ../base.yaml}\nblocks: {}\n")
    program(folder, "inputs: {x: {shape: [4]}}\nuse: {u: inner/up.yaml}\nmodel: [relu]\n")
    report = Report()
    make_program(Request(folder / "inner" / "up.yaml"), report)
    assert [d.code for d in report.errors] == ["F0234"]
    assert told(folder, "model: {use: base.yaml, variant: small, weights: ../w.safetensors}\n") == [
        "F0234 `../w.safetensors` is outside the folder that the spec was opened from"]
    program(folder, f"model: {{use: base.yaml, variant: small, weights: {folder}/w.safetensors}}\n")


@pytest.mark.parametrize("table, code", [
    ("t.csv", ""), ("../t.csv", "F0234"), ("link.csv", "F0234"), ("/somewhere/t.csv", "")])
def test_data_of_a_spec_lies_below_it_or_has_an_absolute_path(
    table: str, code: str, folder: Path,
):
    (folder / "link.csv").symlink_to("/somewhere/t.csv")
    made = program(folder, "extends: {spec: base.yaml, variant: small}\n"
                           f"data: {{table: {table}, target: a}}\n")
    report = Report()
    anchored(made.tree["data"], made.directory, report)
    assert [d.code for d in report.errors] == ([code] if code else [])
    set_ = program(folder, "extends: {spec: base.yaml, variant: small}\n"
                           "data: {table: t.csv, target: a}\n", "data.table=../mine.csv")
    anchored(set_.tree["data"], set_.directory, report)
    assert len(report.errors) == bool(code), "the user's own paths lead anywhere"


class Bundled(Recipe):
    """A document that opens bundles: folders beside the spec."""

    @classmethod
    def open_bundle(cls, reference: str, home: Home) -> Path:
        return home.folder / reference / "spec.yaml"


@pytest.mark.parametrize("text, code", [
    (BASE, ""),
    ("flaxspec: 1\nuse: {o: ../base.yaml}\ninputs: {x: {shape: [4]}}\nmodel: [relu]\n", "F0234"),
    ("flaxspec: 1\nuse: {o: link.yaml}\ninputs: {x: {shape: [4]}}\nmodel: [relu]\n", "F0234"),
    ("flaxspec: 1\nextends: ../base.yaml\n", "F0234"),
    ("flaxspec: 1\nmodel: {use: resnet18, weights: /etc/passwd}\n", "F0234"),
    ("flaxspec: 1\nextends: resnet18\n", ""),
])
def test_a_spec_in_a_bundle_reaches_nothing_outside_it(text: str, code: str, folder: Path):
    (folder / ".git").mkdir()  # what a file beside it might read, the bundle may not
    (folder / "box").mkdir()
    (folder / "box" / "spec.yaml").write_text(text)
    (folder / "box" / "link.yaml").symlink_to(folder / "base.yaml")
    (folder / "main.yaml").write_text("flaxspec: 1\nextends: {bundle: box}\n")
    report = Report()
    try:
        make_program(Request(folder / "main.yaml", document=Bundled,
                             variant="small" if text == BASE else ""), report)
    except SpecError:
        assert code
    assert [d.code for d in report.errors] == ([code] if code else [])


def test_without_an_opener_a_bundle_is_refused(folder: Path):
    (folder / "main.yaml").write_text("flaxspec: 1\nextends: {bundle: box}\n")
    with pytest.raises(SpecError, match="F0217.*bundle `box` cannot be opened here"):
        make_program(Request(folder / "main.yaml"), Report())
