"""Drawings: what becomes a box, where it stands, and that names are only ever text."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser

import pytest

from compiler.diagnostics import Report, SpecError
from compiler.pipeline import Request, make_graph
from compiler.source import Source
from compiler.targets.drawing import dot, html, mermaid, svg
from compiler.targets.drawing.boxes import Box, Scene, Scope
from compiler.targets.drawing.layout import lay_out
from compiler.targets.drawing.opening import opened, visible
from compiler.targets.drawing.scene import make_scene
from compiler.targets.drawing.text import lines
from compiler.targets.drawing.words import wrapped
from compiler.types import TensorType

MODELS = ["resnet50", "googlenet_aux", "lstm_classifier", "mobilenet_v2", "vgg16",
          "zaremba_small", "resnet1202"]
SVG = "{http://www.w3.org/2000/svg}"


def scene_of(name: str | Source) -> Scene:
    return make_scene(make_graph(Request(name), Report(), length=20))


def spec(layers: str, blocks: str = "") -> Source:
    return Source("spec.yaml", f"flaxspec: 1\nname: m\ninputs: {{image: {{shape: [8, 8, 4]}}}}\n"
                               f"{blocks}\nmodel:\n{layers}")


def box_of(scope: Scope, path: str) -> Box:
    return next(box for box in scope.all() if path in box.paths)


# ------------------------------------------------------------------------------- boxes


def test_a_norm_and_an_activation_stand_in_the_box_of_their_layer():
    boxes = scene_of("resnet50").scope.layers
    assert (boxes[0].title, boxes[0].detail) == ("conv 64, kernel 7, stride 2", "batch_norm · relu")
    assert boxes[0].paths == ("conv_1", "batch_norm_1", "relu_1")


def test_equal_neighbours_are_one_box_with_their_number():
    stages = [box for box in scene_of("resnet152").scope.layers if box.kind == "group"]
    units = [[(b.name, b.times) for b in stage.inside.layers] for stage in stages]
    assert units == [[("unit0", 1), ("unit1…2", 2)], [("unit0", 1), ("unit1…7", 7)],
                     [("unit0", 1), ("unit1…35", 35)], [("unit0", 1), ("unit1…2", 2)]]


def test_layers_with_other_inputs_are_not_equal():
    boxes = scene_of(spec("  - repeat: {times: 3, index: i, layers: [{conv: {filters: 6, "
                          "kernel: 1}}]}")).scope.layers
    assert [box.times for box in boxes] == [1, 2]


def test_a_layer_that_two_read_keeps_its_box():
    boxes = scene_of(spec("  - conv: {filters: 4, kernel: 1}\n  - add: {a: [], b: [relu]}")
                     ).scope.layers
    assert [box.word for box in boxes] == ["conv", "relu", "add"]


def test_the_boxes_hold_all_parameters_and_macs():
    for name in MODELS:
        scene = scene_of(name)
        for scope in [scene.scope, *(b.inside for b in scene.scope.all() if b.inside)]:
            always = [box for box in scope.layers if box.during == "always"]
            if scope is scene.scope:
                assert sum(box.macs for box in always) == scene.macs
                assert sum(box.params for box in scope.layers) == scene.params


# ---------------------------------------------------------------------------- opening


def test_what_fits_stands_open_and_paths_choose_more_or_less():
    scene = scene_of("resnet50")
    assert visible(scene.scope, opened(scene, depth=1)) == 8
    more = opened(scene, depth=1, open_=["stage1.unit3.unit_1"])
    assert visible(scene.scope, more) == 8 + 2 + 4  # the stage's, and those of its last units
    less = opened(scene, depth=9, fold=["stage0", "stage1", "stage2", "stage3"])
    assert visible(scene.scope, less) == 8


def test_a_path_that_leads_to_no_box_is_told_with_the_nearest():
    with pytest.raises(SpecError) as error:
        opened(scene_of("resnet50"), open_=["stage9"], fold=["conv_1"])
    assert [d.code for d in error.value.diagnostics] == ["F0940", "F0940"]
    assert "did you mean `stage" in error.value.diagnostics[0].help


def test_more_boxes_than_anybody_reads_are_refused():
    boxes = [Box("input", "x", "", "x", (TensorType((), ()),), [])] + [
        Box("layer", f"relu_{i}", "", "relu", (TensorType((), ()),), []) for i in range(4_000)]
    with pytest.raises(SpecError, match="F0941"):
        opened(Scene("m", Scope(boxes), 0, 0))


# ----------------------------------------------------------------------------- layout


def test_no_line_runs_through_a_box_or_over_another_tensors_line():
    edges = [(0, 1), (0, 5), (1, 2), (1, 4), (2, 3), (3, 4), (4, 5), (2, 5)]
    layout = lay_out(6, edges)
    places = set(zip(layout.rows, (span[0] for span in layout.spans)))
    lanes: dict[tuple[int, int], int] = {}
    for line in layout.lines:
        for row in range(layout.rows[line.source] + 1, layout.rows[line.target]):
            assert (row, line.lane[0]) not in places
            assert lanes.setdefault((row, line.lane[0]), line.source) == line.source
    assert all(layout.rows[s] < layout.rows[t] for s, t in edges)


def test_branches_stand_side_by_side_in_the_authors_order():
    inception = box_of(scene_of("googlenet").scope, "inception_1").inside
    edges = [(w.source, i) for i, box in enumerate(inception.boxes) for w in box.reads]
    layout = lay_out(len(inception.boxes), edges)
    firsts = [i for i, box in enumerate(inception.boxes) if box.name]
    assert [inception.boxes[i].name for i in firsts] == ["one", "three", "five", "pool"]
    assert [layout.spans[i] for i in firsts] == [(0, 0), (1, 1), (2, 2), (3, 3)]
    assert len({layout.rows[i] for i in firsts}) == 1
    assert layout.spans[0] == layout.spans[-2] == (0, 3)  # in the middle: what forks, what joins


@pytest.mark.parametrize("name", MODELS)
def test_no_box_overlaps_another_one_beside_it(name: str):
    scene = scene_of(name)
    root = ElementTree.fromstring(svg.standalone(scene, opened(scene), "mark"))
    _, _, width, height = map(float, root.attrib["viewBox"].split())

    def look(parent: ElementTree.Element, x: float, y: float) -> None:
        boxes = []
        for group in parent.findall(f"{SVG}g"):
            moved = re.findall(r"-?\d+", group.get("transform", "0 0"))
            dx, dy = x + float(moved[0]), y + float(moved[1])
            for rect in group.findall(f"{SVG}rect[@class='r']"):
                a, b, c, d = (float(rect.attrib[k]) for k in ("x", "y", "width", "height"))
                boxes.append((a + dx, b + dy, c, d))
                assert 0 <= a + dx and a + dx + c <= width and b + dy + d <= height
            look(group, dx, dy)
        for i, (a, b, c, d) in enumerate(boxes):
            for e, f, g, h in boxes[:i]:
                assert a >= e + g or e >= a + c or b >= f + h or f >= b + d

    look(root, 0, 0)


def test_long_texts_are_wrapped_without_loss_and_cut_where_endless():
    assert " ".join(wrapped("conv 64, kernel 7, stride 2, padding 1, dilation 2")) == (
        "conv 64, kernel 7, stride 2, padding 1, dilation 2")
    assert all(len(line) <= 34 for line in wrapped("x" * 5_000 + " y"))
    assert len(wrapped("x" * 5_000)) < 6


# ---------------------------------------------------------------------------- formats


def test_the_tree_of_lines_tells_where_a_layer_reads_from():
    scene = scene_of("resnet50")
    told = [line.what for line in lines(scene, opened(scene, depth=3))]
    assert "│ ├ shortcut: conv 256, kernel 1 · batch_norm  ← x" in told
    assert "  └ add · relu  ← batch_norm_3, x" in told


class Page(HTMLParser):
    """What a browser would make of a page: its tags, and the content of its scripts."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def hostile(word: str) -> Scene:
    """A model whose every name and text is hostile; names in specs are checked, text is not."""
    tensor = TensorType(("time",), (word,))
    inner = Scope([Box("input", word, "", word, (tensor,), []),
                   Box("layer", word, word, word, (tensor,), [], full=word, marks=[word],
                       params=3, paths=(word,)),
                   Box("output", word, "", word, (tensor,), [])])
    scope = Scope([Box("input", word, "", word, (tensor,), []),
                   Box("block", word, word, word, (tensor,), [], paths=(word,), inside=inner),
                   Box("output", word, "", word, (tensor,), [])])
    from compiler.targets.drawing.boxes import Wire

    for boxes in (scope.boxes, inner.boxes):
        for i in (1, 2):
            boxes[i].reads.append(Wire(i - 1))
    return Scene(word, scope, 3, 0)


WORDS = ['<script>alert(1)</script>', '"><img src=x onerror=alert(1)>', "' onload='alert(1)",
         "</title><script>", "]]><svg onload=alert(1)>", "a\n```\n<script>alert(1)</script>",
         '"]; click n0 "javascript:alert(1)"', "%%{init: {}}%%", "x\\", '\\" ] evil [', "-->",
         "\x1b[31m\u202e\x00", "`|end|`"]


@pytest.mark.parametrize("word", WORDS)
def test_a_hostile_name_is_text_in_every_format(word: str):
    scene = hostile(word)
    open_ = opened(scene, depth=2)
    plain = scene, open_, "mark"
    expected, got = Page(), Page()
    expected.feed(html.page(hostile("tame"), opened(scene, depth=2), "mark"))
    got.feed(html.page(*plain))
    tags = [tag for tag, _ in got.tags]
    assert tags.count("script") == 1 and not {"img", "iframe", "a"} & set(tags)
    assert not [name for _, attributes in got.tags for name in attributes if name.startswith("on")]
    root = ElementTree.fromstring(svg.standalone(*plain))
    assert not [e for e in root.iter() if e.tag.removeprefix(SVG) in ("script", "img", "a")]
    assert not [k for e in root.iter() for k in e.attrib if k.startswith("on")]
    text = mermaid.page(*plain)
    assert text.count("```") == 2 and "<script" not in text and "<img" not in text
    for quoted in re.findall(r'"(.*?)"[\])|]', text):
        assert not set(quoted.replace("<br>", "")) & set('"`|<>{}\\%')
    graph = dot.text(*plain)
    rest = re.sub(r'"(?:[^"\\]|\\.)*"', "", graph)
    assert '"' not in rest and "evil" not in rest and "click" not in rest
    for content in (text, graph, html.page(*plain)):
        assert not set("\x1b\u202e\x00") & set(content)


def test_the_page_loads_nothing_and_runs_its_own_script_only():
    scene = scene_of("googlenet")
    text = html.page(scene, opened(scene), "mark")
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', text)[1]
    assert re.fullmatch(
        r"default-src 'none'; style-src 'sha256-[\w+/]{43}='; script-src 'sha256-[\w+/]{43}='; "
        r"base-uri 'none'; form-action 'none'", policy)
    assert not re.search(r"(src|href)=|https?://(?!www\.w3\.org/2000/svg)|@import|\burl\((?!#)",
                         text)
    assert " style=" not in text


def test_what_the_policy_admits_is_what_the_page_holds():
    import base64
    import hashlib

    scene = scene_of("lstm_classifier")
    text = html.page(scene, opened(scene), "mark")
    for tag in ("style", "script"):
        content = re.search(rf"<{tag}>(.*?)</{tag}>", text, re.S)[1]
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in text


def test_wires_go_through_boxes_that_stand_open():
    scene = scene_of(spec("  - b\n  - relu", "blocks:\n  b: {layers: [{conv: {filters: 2, "
                          "kernel: 1}}, max_pool: 2]}"))
    graph = mermaid.chart(scene, opened(scene, depth=2))
    assert re.findall(r"(n\d) -->\|\"(\S+)\"\| (n\d)", graph) == [
        ("n0", "8×8×4", "n2"), ("n2", "8×8×2", "n3"), ("n3", "4×4×2", "n4"),
        ("n4", "4×4×2", "n5")]
    assert "subgraph n1" in graph
