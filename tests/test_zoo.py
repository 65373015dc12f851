"""The zoo keeps its word: published figures, short files, one name for one model.

The tables here are typed from the papers and from torchvision's, timm's, Keras's and
PyTorch's own figures; nothing is read from the specs.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest

from compiler import zoo
from compiler.diagnostics import Report
from compiler.facts import check_facts
from compiler.graph import Graph
from compiler.pipeline import Request, graph_of, make_graph, make_program
from compiler.plan import Plan, make_plan
from compiler.tree import plain
from runtime.recipe import Recipe, check_training, is_recipe, read_training

SPECS = Path(__file__).resolve().parent.parent / "specs"
FILES = zoo.files()
# Steps that stand for an unknown length; no count of parameters depends on it.
LENGTH = 7

# Trainable parameters, running means and variances, multiply-accumulates at the standard size.
# None: no exact figure is published.
PUBLISHED: dict[str, tuple[int, int | None, int | None]] = {
    # torchvision, 224×224
    "vgg11": (132_863_336, 0, 7_609_090_048),
    "vgg13": (133_047_848, 0, 11_308_466_176),
    "vgg16": (138_357_544, 0, 15_470_264_320),
    "vgg19": (143_667_240, 0, 19_632_062_464),
    "vgg11_bn": (132_868_840, 5_512 - 8, 7_609_090_048),
    "vgg13_bn": (133_053_736, 5_898 - 10, 11_308_466_176),
    "vgg16_bn": (138_365_992, 8_461 - 13, 15_470_264_320),
    "vgg19_bn": (143_678_248, 11_024 - 16, 19_632_062_464),
    "googlenet": (6_624_904, 14_617 - 57, 1_498_376_192),
    "googlenet_aux": (13_004_888, 15_131 - 59, 1_498_376_192),
    "resnet18": (11_689_512, 9_620 - 20, 1_814_073_344),
    "resnet34": (21_797_672, 17_060 - 36, 3_663_761_408),
    "resnet50": (25_557_032, 53_173 - 53, 4_089_184_256),
    "resnet101": (44_549_160, 105_448 - 104, 7_801_405_440),
    "resnet152": (60_192_808, 151_579 - 155, 11_513_626_624),
    "wide_resnet50_2": (68_883_240, 68_277 - 53, None),
    "wide_resnet101_2": (126_886_696, 137_960 - 104, None),
    "resnext50_32x4d": (25_028_904, 68_277 - 53, None),
    "resnext101_32x8d": (88_791_336, 202_984 - 104, None),
    "resnext101_64x4d": (83_455_272, 202_984 - 104, None),
    "mobilenet_v2": (3_504_872, None, None),
    # timm's `legacy_seresnet`s
    "se_resnet18": (11_778_592, None, None),
    "se_resnet34": (21_958_868, None, None),
    "se_resnet50": (28_088_024, None, None),
    "se_resnet101": (49_326_872, None, None),
    "se_resnet152": (66_821_848, None, None),
    # The paper's GoogLeNet, as in Caffe
    "googlenet_paper": (6_998_552, 0, None),
    "googlenet_paper_aux": (13_378_280, 0, None),
    # timm
    "resnext101_32x4d": (44_177_704, None, None),
    "resnetv2_50": (25_549_352, None, None),
    "resnetv2_101": (44_541_480, None, None),
    # Keras
    "resnet50_keras": (25_583_592, 25_636_712 - 25_583_592, None),
    # MMPretrain, 32×32
    "resnet18_cifar10": (11_173_962, None, None),
    "resnet34_cifar10": (21_282_122, None, None),
    "resnet50_cifar10": (23_520_842, None, None),
    "resnet101_cifar10": (42_512_970, None, None),
    "resnet152_cifar10": (58_156_618, None, None),
    # He et al. 2016, table 6
    "resnet20": (269_722, None, None),
    "resnet32": (464_154, None, None),
    "resnet44": (658_586, None, None),
    "resnet56": (853_018, None, None),
    "resnet110": (1_727_962, None, None),
    "resnet1202": (19_421_274, None, None),
    "resnet20_b": (272_474, None, None),
    "resnet32_b": (466_906, None, None),
    "resnet44_b": (661_338, None, None),
    "resnet56_b": (855_770, None, None),
    "resnet110_b": (1_730_714, None, None),
    "resnet1202_b": (19_424_026, None, None),
    # PyTorch's recurrent layers of 256 units on 128 features, and a dense layer to 10 classes
    "rnn_classifier": (98_816 + 2_570, 0, None),
    "lstm_classifier": (395_264 + 2_570, 0, None),
    "gru_classifier": (296_448 + 2_570, 0, None),
    "birnn_classifier": (591_872 + 5_130, 0, None),
    "bilstm_classifier": (2_367_488 + 5_130, 0, None),
    "bigru_classifier": (1_775_616 + 5_130, 0, None),
    # By the sizes of the layers
    "text_lstm": (2_560_000 + 263_168 + 514, None, None),
    "text_cnn": (6_000_000 + 360_300 + 602, None, None),
    # PyTorch's DCGAN example: netG and netD; with ten classes one-hot beside both inputs
    "dcgan": (3_576_704 + 2_765_568, None, None),
    "conditional_dcgan": (3_576_704 + 81_920 + 2_765_568 + 10_240, None, None),
    # By the sizes of the layers
    "vae": (1_431_491, None, None),
    "conditional_vae": (1_431_491 + 5_120 + 2_560, None, None),
    # Zaremba et al. 2014
    "zaremba_small": (4_651_600, 0, None),
    "zaremba_medium": (19_775_200, 0, None),
    "zaremba_large": (66_022_000, 0, None),
}

# Multiply-accumulates in units of 10^9 (torchvision's `_ops`) and 10^6 (CIFAR), as printed.
ROUNDED_MACS: dict[str, tuple[float, float]] = {
    "wide_resnet50_2": (1e9, 11.398),
    "wide_resnet101_2": (1e9, 22.753),
    "resnext50_32x4d": (1e9, 4.230),
    "resnext101_32x8d": (1e9, 16.414),
    "resnext101_64x4d": (1e9, 15.460),
    "mobilenet_v2": (1e9, 0.301),
    "resnet20": (1e6, 40.55),
    "resnet32": (1e6, 68.86),
    "resnet44": (1e6, 97.17),
    "resnet56": (1e6, 125.49),
    "resnet110": (1e6, 252.89),
    "resnet18_cifar10": (1e9, 0.56),
}

# Figures of forms that have no name: the model, the params to set, trainable parameters.
FORMS: list[tuple[str, dict[str, object], int]] = [
    ("googlenet", {"large": 5}, 7_005_832),
    ("googlenet_aux", {"large": 5}, 13_385_816),
    ("resnet18_cifar10", {"classes": 100}, 11_220_132),
    ("resnet50_cifar10", {"classes": 100}, 23_705_252),
    # Keras' 44,707,176 and 60,419,944 less its moving statistics
    ("resnet101", {"v1": True, "bias": True}, 44_707_176 - (105_448 - 104)),
    ("resnet152", {"v1": True, "bias": True}, 60_419_944 - (151_579 - 155)),
]

# The longest that a file may be, and what it has to hold within that.
LINES = {"resnet.yaml": 100, "googlenet.yaml": 80}


@cache
def plan(name: str) -> Plan:
    """The plan of a zoo name in evaluation."""
    return make_plan(graph(name))


def graph(name: str, **params: object) -> Graph:
    return make_graph(Request(name, values=params, document=Recipe), Report(), length=LENGTH)


def relative(path: Path) -> str:
    return path.relative_to(SPECS).as_posix()


def models() -> list[str]:
    """Every zoo name that stands for a model."""
    return [name for name, (path, _) in zoo.index().items() if path.parent.name != "blocks"]


# --- figures ----------------------------------------------------------------------


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_model_has_its_published_figures(name: str) -> None:
    params, buffers, macs = PUBLISHED[name]
    totals = plan(name).totals
    assert totals.params == totals.trainable == params
    assert buffers in (None, totals.buffers)
    assert macs in (None, totals.macs)


@pytest.mark.parametrize("name", ROUNDED_MACS)
def test_arithmetic_agrees_with_figures_printed_rounded(name: str) -> None:
    unit, figure = ROUNDED_MACS[name]
    digits = len(str(figure).partition(".")[2])
    assert round(plan(name).totals.macs / unit, digits) == figure


@pytest.mark.parametrize(("name", "params", "figure"), FORMS)
def test_a_switch_gives_the_published_form(
    name: str, params: dict[str, object], figure: int,
) -> None:
    assert make_plan(graph(name, **params)).totals.params == figure


@pytest.mark.parametrize("path", FILES, ids=relative)
def test_facts_are_proven(path: Path) -> None:
    report = Report()
    proofs = check_facts(Request(path, document=Recipe), report)
    assert report.errors == []
    assert all(proof.holds for proof in proofs)


def test_every_published_figure_is_a_fact_of_its_spec() -> None:
    missing = []
    for name, (params, _, _) in PUBLISHED.items():
        program = make_program(Request(name, document=Recipe), Report())
        facts = plain(program.document.facts)
        if facts.get(name, {}).get("params") != params:
            missing.append(name)
    assert missing == []


# --- names and files --------------------------------------------------------------


def test_a_name_stands_for_one_model() -> None:
    names: dict[str, str] = {}
    for path in FILES:
        program = make_program(Request(path, document=Recipe), Report())
        # A variant may have the name of its own file, of no other.
        for name in {path.stem, *(program.document.variants or ())}:
            assert name not in names, f"{name} is in {names.get(name)} and {relative(path)}"
            names[name] = relative(path)
    assert set(names) == set(zoo.index())


@pytest.mark.parametrize("path", FILES, ids=relative)
def test_a_file_opens_with_what_it_is(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    opening = lines[: next(i for i, line in enumerate(lines) if not line.startswith("#"))]
    assert opening, "a comment says what the file is"
    if path.parent.name != "blocks":
        commands = ("flaxspec plan ", "compile-and-train specs/recipes/")
        assert any(command in line for line in opening for command in commands)


@pytest.mark.parametrize("path", FILES, ids=relative)
def test_commands_in_a_file_name_what_there_is(path: Path) -> None:
    for line in path.read_text(encoding="utf-8").splitlines():
        if "flaxspec plan " in line:
            assert line.split("flaxspec plan ")[1].split()[0] in zoo.index()
        if "compile-and-train " in line:
            name = line.split("compile-and-train ")[1].split()[0]
            assert (SPECS.parent / name).is_file()


@pytest.mark.parametrize("path", FILES, ids=relative)
def test_a_file_stays_short(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if "yaml-language-server" not in line]
    assert len(lines) <= LINES.get(path.name, 120)
    assert max(map(len, lines)) <= 120


@pytest.mark.parametrize("path", FILES, ids=relative)
def test_a_file_raises_no_complaint(path: Path) -> None:
    report = Report()
    program = make_program(Request(path, document=Recipe), report)
    if program.architecture.layers:
        graph_of(program, report)
    assert report.diagnostics == []


# --- behaviour --------------------------------------------------------------------


@pytest.mark.parametrize("path", [p for p in FILES if p.parent.name == "recipes"], ids=relative)
def test_a_recipe_fits_its_data_and_task(path: Path) -> None:
    report = Report()
    program = make_program(Request(path, document=Recipe), report)
    assert is_recipe(program.document)
    training = read_training(program.document, program.tree, report)
    assert training is not None
    made = graph_of(program, report)
    inputs = {v.name: v.type for v in made.inputs}
    bound = check_training(training, inputs, {n: v.type for n, v in made.outputs.items()}, report)
    assert (report.errors, set(bound)) == ([], set(inputs))


@pytest.mark.parametrize("name", models())
def test_a_model_ends_with_a_float_for_each_class(name: str) -> None:
    outputs = graph(name).outputs
    assert all(v.type.dtype == "float" and "channels" in v.type.axes for v in outputs.values())


def test_auxiliary_heads_exist_in_training_only() -> None:
    made = graph("googlenet_aux")
    training, evaluation = make_plan(made, training=True), make_plan(made)
    assert list(training.totals.outputs) == ["output", "aux1", "aux2"]
    assert list(evaluation.totals.outputs) == ["output"]


def test_the_first_stride_of_a_bottleneck_is_a_switch() -> None:
    """v1 strides on the 1×1, v1.5 on the 3×3: equal parameters, less arithmetic (3.8 G)."""
    totals = make_plan(graph("resnet50", v1=True)).totals
    assert totals.params == PUBLISHED["resnet50"][0]
    assert round(totals.macs / 1e9, 2) == 3.86


@pytest.mark.parametrize(("name", "params", "shape"), [
    ("resnet20", {"image": [8, 8, 1]}, (2, 10)),
    ("resnet20_b", {}, (2, 10)),
    ("resnet18_cifar10", {"width": 8, "group_width": 64}, (2, 10)),
    ("resnetv2_50", {"depths": [1, 1], "width": 8, "image": [32, 32, 3], "classes": 5}, (2, 5)),
    ("resnext50_32x4d", {"depths": [1, 1], "image": [32, 32, 3], "classes": 5}, (2, 5)),
    ("vgg11_bn", {"image": [32, 32, 3], "hidden": 8, "classes": 5}, (2, 5)),
    ("googlenet", {"image": [32, 32, 3], "width": 0.125, "classes": 5}, (2, 5)),
    ("googlenet_paper", {"image": [64, 64, 3], "width": 0.125, "classes": 5}, (2, 5)),
    ("mobilenet_v2", {"image": [32, 32, 3], "classes": 5}, (2, 5)),
    ("rnn_classifier", {"sequence": [5, 3], "units": 4}, (2, 10)),
    ("bilstm_classifier", {"sequence": [5, 3], "units": 4}, (2, 10)),
    ("gru_classifier", {"sequence": [5, 3], "units": 4}, (2, 10)),
])
def test_a_model_maps_a_batch_to_logits(
    name: str, params: dict[str, object], shape: tuple[int, ...],
) -> None:
    output = shape_of(name, params, None)
    assert output == shape


@pytest.mark.parametrize("name", ["rnn_lm", "lstm_lm", "gru_lm", "zaremba_small"])
def test_a_language_model_maps_tokens_to_logits_for_each_step(name: str) -> None:
    params: dict[str, object] = {"vocabulary": 11, "units": 4}
    if name.startswith("zaremba"):
        params["length"] = 5
    assert shape_of(name, params, 5) == (2, 5, 11)


def shape_of(name: str, params: dict[str, object], length: int | None) -> tuple[int, ...]:
    """The shape of the main output for a batch of two, traced and not computed."""
    import jax
    import jax.numpy as jnp
    from flax import nnx

    import flaxspec

    model = flaxspec.build(name, params=params, abstract=True)
    model.eval()
    graph_def, state = nnx.split(model)
    (value,) = make_graph(Request(name, values=params), Report(), length=length).inputs
    kind = jnp.int32 if value.type.dtype == "int" else jnp.float32
    given = jax.ShapeDtypeStruct((2, *(s for s in value.type.shape if isinstance(s, int))), kind)
    result = jax.eval_shape(lambda s, x: nnx.merge(graph_def, s)(x), state, given)
    return (result["output"] if isinstance(result, dict) else result).shape
