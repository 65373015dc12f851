"""Lists of layers, read from the tree.

Reading is done once for every list, however often its block is used. Each layer gets its
segment of the path here; `forms` reads what stands after its word.
"""

from __future__ import annotations

from collections import Counter

from compiler.diagnostics import Report
from compiler.expressions import is_formula
from compiler.forms import Form
from compiler.layers import STRUCTURE, LayerSpec, Words, broken
from compiler.modifiers import MODIFIERS, brief
from compiler.ops import WORDS
from compiler.parse import Mapping, Node, Scalar, Sequence, present
from compiler.source import Span
from compiler.wording import near, shown, some


def read_layers(
    node: Node | None,
    words: Words,
    report: Report,
    numbers: Counter[str] | None = None,
) -> tuple[LayerSpec, ...]:
    """Read a list of layers; what cannot be read is reported, and a broken layer in its place.

    Args:
        node: the list; None is the empty list, a single layer a list of one.
        words: the blocks that the file knows.
        report: where errors go.
        numbers: the uses of each word in the scope so far; a new scope where not given.
    """
    numbers = Counter() if numbers is None else numbers
    if (node := present(node)) is None:
        return ()
    items = node if isinstance(node, Sequence) else [node]
    return tuple(_read_layer(item, words, report, numbers) for item in items)


def _read_layer(item: Node, words: Words, report: Report, numbers: Counter[str]) -> LayerSpec:
    if isinstance(item, Mapping):
        keys = [k for k in item if k not in MODIFIERS]
        modifiers = {k: v for k, v in item.items() if k in MODIFIERS}
        if len(keys) == 1:
            word = keys[0]
            return _read_word(
                word, item.key_spans[word], item[word], modifiers, words, report, numbers
            )
        _report_keys(item, keys, words, report)
        return broken(item.span, modifiers)
    if isinstance(item, Sequence):
        report.error(
            "F0206",
            "a list stands where a layer is expected",
            item.span,
            help="group layers with `layers: [...]`, or take the inner dash away",
        )
    elif not isinstance(item.value, str):
        report.error(
            "F0206",
            f"{shown(item.value)} stands where a layer is expected",
            item.span,
            help="write an operator or a block, as in `- relu`",
        )
    elif is_formula(item.value):
        report.error(
            "F0206",
            "a formula is not a layer",
            item.span,
            help=f"to insert layers that a param holds, write `layers: {item.text}`",
        )
    else:
        return _read_word(item.value, item.span, None, {}, words, report, numbers)
    return broken(item.span, {})


def _report_keys(item: Mapping, keys: list[str], words: Words, report: Report) -> None:
    """Say what is wrong with a layer that has no operator, or more than one key for it."""
    if not item:
        report.error("F0206", "a layer is empty", item.span, help="write an operator, or nothing")
        return
    if not keys:
        key = next(iter(item), "")
        report.error(
            "F0206",
            "a layer has modifiers but no operator",
            item.key_spans.get(key, item.span),
            help="put it beside the operator's key, at the same indentation",
        )
        return
    known = [k for k in keys if k in words]
    if not known:
        _report_unknown(keys[0], item.key_spans[keys[0]], words, report)
        return
    # The operator is the word to whose fields the others belong: `lstm` with `layers` beside
    # it, not `layers` with `lstm`.
    word = max(known, key=lambda w: sum(k in words.fields(w) for k in keys))
    fields = words.fields(word)
    for key in keys:
        if key == word:
            continue
        if key in fields:
            example = f"- {word}: {{{key}: {brief(item[key])}}}"
            report.error(
                "F0207",
                f"`{key}` is a field of {word}, but it stands beside it",
                item.key_spans[key],
                f"belongs inside `{word}:`",
                help=f"indent it below `{word}:`, or write `{example}`",
            )
        elif key in known:
            report.error(
                "F0206",
                f"a layer has two operators: {word} and {key}",
                item.key_spans[key],
                "begins a second one",
                help="give each its own dash",
            )
        else:
            report.error(
                "F0207",
                f"`{key}` is neither a modifier nor a field of {word}",
                item.key_spans[key],
                near(key, [*MODIFIERS, *fields], report),
                notes=(
                    f"modifiers: {', '.join(MODIFIERS)}",
                    f"fields of {word}: {some(fields)}",
                ),
            )


def _report_unknown(word: str, span: Span, words: Words, report: Report) -> None:
    help = ""
    prefix, dot, _ = word.partition(".")
    if word in words.lost or dot and prefix in words.lost:
        return
    if dot:
        mine = [b for b in words.blocks if b.startswith(prefix + ".")]
        help = (
            f"blocks of `{prefix}`: {some(mine)}"
            if mine
            else f"bring it in with `use: {{{prefix}: FILE}}`"
        )
    report.error(
        "F0202",
        f"`{word}` is neither an operator nor a block of this file",
        span,
        near(word, [*WORDS, *words.operators, *words.blocks, *STRUCTURE], report),
        help=help,
    )


def _read_word(
    word: str,
    span: Span,
    value: Node | None,
    modifiers: dict[str, Node],
    words: Words,
    report: Report,
    numbers: Counter[str],
) -> LayerSpec:
    if word not in words:
        _report_unknown(word, span, words, report)
        return broken(span, modifiers)
    if present(value) is None:
        value = None
    numbered = word.replace(".", "_")
    if word == "layers" and isinstance(value, Scalar) and isinstance(value.value, str):
        inserted = value.value.removeprefix("=").strip()
        numbered = inserted if inserted.isidentifier() else word
    numbers[numbered] += 1

    def read(inner: Node | None, same_scope: bool) -> tuple[LayerSpec, ...]:
        return read_layers(inner, words, report, numbers if same_scope else None)

    segment = f"{numbered}_{numbers[numbered]}"
    layer = Form(word, span, value, modifiers, segment, words, report, read).layer()
    return broken(span, modifiers) if layer is None else layer
