"""Tree to document: which sections there are, and whether each has the right form."""

from __future__ import annotations

import difflib

from compiler.diagnostics import Label, Report
from compiler.parse import Mapping, Node, Scalar, plain
from compiler.spec import Document
from compiler.validate import is_raw, validate

LANGUAGE = 1  # the version of the language that is read

# What a recipe has besides: the runtime's own document declares them, and to the compiler they
# mean nothing, so that a recipe's model can be compiled alone.
RECIPE = ("data", "task", "losses", "metrics", "train")


def check_document(tree: Mapping, cls: type[Document], report: Report) -> Document:
    """The document of a tree; sections that are wrong are reported and left out.

    Raises:
        SpecError: it is written in another version of the language.
    """
    check_version(tree, report)
    sections: dict[str, Node] = {}
    for key, node in tree.items():
        if key in cls.model_fields:
            # A key with nothing after it is as good as none.
            if not (is_raw(cls.model_fields[key]) and isinstance(node, Scalar)
                    and node.value is None):
                sections[key] = node
        elif key in RECIPE:
            continue
        else:
            close = difflib.get_close_matches(
                key, [f for f in cls.model_fields if f not in tree], n=1
            )
            report.error(
                "F0203",
                f"`{key}` is not a section of a spec",
                tree.key_spans[key],
                f"did you mean `{close[0]}`?" if close else "",
                notes=(f"sections of a spec: {', '.join(cls.model_fields)}",),
            )
            if close:  # read on as if that had been written
                sections[close[0]] = node
    kept = Mapping(sections, tree.span, tree.key_spans)
    document = validate(cls, kept, report, what="a spec", part="section", defaults={"flaxspec": 1})
    if document is None:  # what is wrong is a text such as `name`, which nothing hangs on
        raw = {k: v for k, v in sections.items() if is_raw(cls.model_fields[k])}
        document = cls.model_validate({"flaxspec": 1, **raw})
    return document


def check_version(tree: Mapping, report: Report, *more: Label) -> None:
    """Check which version of the language a file is written in.

    Args:
        tree: the file.
        report: gets an F0218 where it does not say.
        more: further places, for a file that another one names.

    Raises:
        SpecError: it is another version than the one that this program knows.
    """
    version = tree.get("flaxspec")
    if version is None:
        report.error(
            "F0218",
            "the file does not say which version of the language it is written in",
            tree.span,
            f"`flaxspec: {LANGUAGE}` is missing",
            help=f"begin the file with `flaxspec: {LANGUAGE}`",
            more=more,
        )
    elif plain(version) != LANGUAGE or isinstance(plain(version), bool):
        written = version.text if isinstance(version, Scalar) else "something else"
        known = isinstance(plain(version), int) and not isinstance(plain(version), bool)
        report.error(
            "F0218",
            f"the file is written in version {written} of the language; this program knows "
            f"version {LANGUAGE}" if known else
            f"`{written}` is not a version of the language; this program knows version {LANGUAGE}",
            version.span,
            f"only version {LANGUAGE} is known",
            help=f"take a program that knows version {written}, or a file in version {LANGUAGE}"
            if known else f"write `flaxspec: {LANGUAGE}`",
            more=more,
        )
        report.check()
