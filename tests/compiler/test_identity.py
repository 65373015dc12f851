"""Equal networks have equal hashes, however they are written; others have others."""

from __future__ import annotations

import pytest

from compiler.diagnostics import Report
from compiler.pipeline import Request, make_graph
from compiler.source import Source
from compiler.targets.identity import network_hash

BASE = """\
flaxspec: 1
name: small
params: {width: 8, bias: false}
inputs: {image: {shape: [8, 8, 3]}}
blocks:
  unit:
    params: {filters: int}
    layers:
      - conv: {filters: =filters, kernel: 3, bias: =bias}
      - batch_norm
model:
  - conv: {filters: =width * 2, kernel: 3}
  - {relu: , name: first}
  - add: {body: [unit: 16], shortcut: [conv: {filters: 16, kernel: 1}]}
  - dropout: 0.5
  - concat: {a: [max_pool: 2], b: [average_pool: 2]}
  - global_average_pool
  - dense: 10
"""


def hash_of(text: str, *assignments: str) -> str:
    return network_hash(make_graph(Request(Source("t.yaml", text), "", assignments), Report()))


def edited(*changes: tuple[str, str]) -> str:
    text = BASE
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    return text


SAME = {
    "comments and blank lines": [("model:\n", "# what it does\n\nmodel:  # from here\n")],
    "block style": [("inputs: {image: {shape: [8, 8, 3]}}",
                     "inputs:\n  image:\n    shape:\n    - 8\n    - 8\n    - 3")],
    "the name of the model": [("name: small", "name: other")],
    "the order of sections": [("name: small\n", ""), ("  - dense: 10\n",
                                                      "  - dense: 10\nname: small\n")],
    "the order of fields": [("{filters: =width * 2, kernel: 3}",
                             "{kernel: 3, filters: =width * 2}")],
    "the spelling of a formula": [("=width * 2", '"=(4 + 4) * 2"')],
    "the name of a param": [("width: 8", "units: 8"), ("=width", "=units")],
    "a field that repeats its default": [("kernel: 3}\n  - {relu", "kernel: 3, bias: true}\n"
                                          "  - {relu")],
    "a window for each axis": [("=width * 2, kernel: 3", "=width * 2, kernel: [3, 3]")],
    "padding by number": [("=width * 2, kernel: 3", "=width * 2, kernel: 3, padding: 1")],
    "a stride that is the window": [("max_pool: 2", "max_pool: {window: 2, stride: 2}")],
    "a layer that is switched off": [("  - dropout", "  - {batch_norm: , when: =width == 1}\n"
                                      "  - dropout")],
    "an identity": [("  - dropout", "  - identity\n  - dropout")],
    "a name of a layer without weights": [("name: first", "name: second")],
    "a layer without weights that nothing reads": [
        ("  - dropout: 0.5\n", "  - {identity: , name: here}\n  - tanh\n"
         "  - {dropout: 0.5, from: here}\n")],
    "the order of the branches of add": [
        ("{body: [unit: 16], shortcut: [conv: {filters: 16, kernel: 1}]}",
         "{shortcut: [conv: {filters: 16, kernel: 1}], body: [unit: 16]}")],
    "the name of a block whose path is given": [
        ("  unit:\n", "  item:\n"), ("[unit: 16]", "[{item: 16, name: unit_1}]")],
    "a loop of one": [("  - dropout: 0.5\n",
                       "  - repeat: {times: 1, index: i, layers: [dropout: 0.5]}\n")],
    "to compute again": [("[unit: 16]", "[{unit: 16, remat: true}]")],
    "a path of older weights": [("  - dense: 10", "  - {dense: 10, was: head}")],
}

OTHER = {
    "a stride": [("max_pool: 2", "max_pool: {window: 2, stride: 1, padding: [[0, 1], [0, 1]]}"),
                 ("average_pool: 2", "average_pool: {window: 2, stride: 1, "
                                     "padding: [[0, 1], [0, 1]]}")],
    "padding": [("max_pool: 2", "max_pool: {window: 3, stride: 2, padding: [[0, 1], [0, 1]]}")],
    "a width": [("width: 8", "width: 4")],
    "the path of a parameter": [("  - dense: 10", "  - {dense: 10, name: head}")],
    "the path of a block": [("[unit: 16]", "[{unit: 16, name: u}]")],
    "the name of an input": [("image:", "picture:")],
    "the name of an output": [("  - dense: 10\n", "  - {dense: 10, name: d}\n"
                               "outputs: {logits: d}\n")],
    "a head": [("  - dropout", "  - output: {name: aux, layers: [global_max_pool]}\n  - dropout")],
    "the size of the input": [("[8, 8, 3]", "[16, 16, 3]")],
    "a rate": [("0.5", "0.4")],
    "a layer more": [("  - dropout", "  - relu\n  - dropout")],
    "an activation": [("{relu: ,", "{elu: ,")],
    "what is frozen": [("[unit: 16]", "[{unit: 16, freeze: true}]")],
    "how it begins": [("  - dense: 10", "  - {dense: 10, init: {kernel: zeros}}")],
    "the phase of a layer": [("  - {relu: , name: first}", "  - {relu: , during: training}")],
    "the order of the branches of concat": [
        ("{a: [max_pool: 2], b: [average_pool: 2]}", "{b: [average_pool: 2], a: [max_pool: 2]}")],
    "a layer with weights that nothing reads": [
        ("  - dropout", "  - output: {name: aux, layers: [dense: 1]}\n  - dropout")],
    "one mask in place of two": [
        ("  - dropout: 0.5\n", "  - add: {c: [dropout: 0.5], d: [dropout: 0.5]}\n")],
}


@pytest.mark.parametrize("what", SAME)
def test_the_hash_does_not_tell(what: str) -> None:
    assert hash_of(edited(*SAME[what])) == hash_of(BASE)


def test_what_is_another_network_has_another_hash() -> None:
    hashes = {what: hash_of(edited(*changes)) for what, changes in OTHER.items()}
    hashes["itself"] = hash_of(BASE)
    assert len(set(hashes.values())) == len(hashes)


def test_one_draw_used_twice_is_not_two_draws() -> None:
    once = "  - {dropout: 0.5, name: c}\n  - add: [c, c]\n"
    twice = "  - add: {c: [dropout: 0.5], d: [dropout: 0.5]}\n"
    assert (hash_of(edited(("  - dropout: 0.5\n", once)))
            != hash_of(edited(("  - dropout: 0.5\n", twice))))


def test_shared_weights_are_not_weights_of_their_own() -> None:
    def model(first: str, second: str) -> str:
        return ("flaxspec: 1\ninputs: {x: {shape: [4]}}\nmodel:\n"
                f"  - {{dense: 4, {first}}}\n  - {{dense: 4, {second}}}\n")

    shared = hash_of(model("weights: w", "weights: w"))
    assert shared == hash_of(model("weights: w, name: a", "weights: w, name: b"))
    assert shared != hash_of(model("name: w", "name: v"))


def test_the_lender_of_a_table_counts() -> None:
    def model(lender: str) -> str:
        return ("flaxspec: 1\ninputs: {text: {kind: tokens, vocabulary: 9, length: any}}\nmodel:\n"
                "  - {embed: 4, name: one}\n  - {embed: 4, name: two, from: text}\n"
                f"  - add: [one, two]\n  - dense: {{units: 9, tie: {lender}.embedding}}\n")

    assert hash_of(model("one")) != hash_of(model("two"))


def test_values_may_come_from_the_command_line() -> None:
    assert hash_of(BASE, "width=4") == hash_of(edited(("width: 8", "width: 4")))


def test_a_hash_stays_what_it_is_from_one_release_to_the_next() -> None:
    # Others pin it: where it must change, `SCHEME` does, and CHANGELOG says so.
    assert hash_of(BASE) == (
        "ae9b8c036a6eec81b232cf067979780b63aeaf6edd6ab9af1f0ed221d02b47f4")
    resnet = network_hash(make_graph(Request("resnet50"), Report()))
    assert resnet == "65f9f24fab1895ea62f73ee2807c78e902055db28207271d6776acd6efbe5b7c"
