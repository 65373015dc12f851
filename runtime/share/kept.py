"""What is remembered of references: which bundle they led to last, and what that was called there.

With it a bundle is not fetched again while the other side says that it is the same, and can be
used while the other side cannot be reached.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from compiler.diagnostics import SpecError, diagnostic
from runtime.data.fetch import cache_folder
from runtime.share.bundle import Bundle, known
from runtime.share.reference import Reference

OFFLINE = "FLAXSPEC_OFFLINE"


@dataclass(frozen=True)
class Visit:
    """What a reference led to.

    Attributes:
        reference: it, without a hash.
        sha256: the bundle's hash.
        mark: what says whether it is the same still: an ETag, or a commit; "" for nothing.
    """

    reference: str
    sha256: str
    mark: str


def is_offline() -> bool:
    """Whether the user forbids asking others."""
    return os.environ.get(OFFLINE, "") not in ("", "0")


def last_visit(reference: Reference) -> tuple[Visit, Bundle] | None:
    """What a reference led to the last time, if that is here still."""
    try:
        told = json.loads(_file(reference).read_text(encoding="utf-8"))
        visit = Visit(**told)
    except (OSError, ValueError, TypeError):
        return None
    bundle = known(visit.sha256)
    return None if bundle is None else (visit, bundle)


def remember(reference: Reference, bundle: Bundle, mark: str) -> Bundle:
    """Keep in mind what a reference led to; the bundle."""
    path = _file(reference)
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(json.dumps(asdict(Visit(reference.unpinned, bundle.sha256, mark))),
                           encoding="utf-8")
        partial.replace(path)
    except OSError:
        pass  # It is asked for again, and that is all.
    return bundle


def unreached(reference: Reference, why: SpecError) -> Bundle:
    """The bundle of a reference while the other side cannot be reached.

    Raises:
        SpecError: F0857 it is not the one that the reference pins; `why` where none is here.
    """
    found = last_visit(reference)
    if found is None:
        raise why
    visit, bundle = found
    if reference.sha256 and reference.sha256 != bundle.sha256:
        raise why
    from runtime.cli.terminal import show

    first = why.diagnostics[0]
    show([diagnostic(
        "F0859", f"`{reference.unpinned}` was not asked for anew: the copy that is here is used",
        notes=[first.headline, f"sha256 of the copy: {visit.sha256}"], severity="warning")])
    return bundle


def offline(reference: Reference) -> SpecError:
    """That nobody may be asked."""
    return SpecError([diagnostic(
        "F0851", f"`{reference.unpinned}` is not here, and nobody is asked: {OFFLINE} is set",
        help=f"unset {OFFLINE}, or pull the bundle while there is a connection")])


def _file(reference: Reference) -> Path:
    name = hashlib.sha256(reference.unpinned.encode()).hexdigest()
    return cache_folder() / "bundles" / "references" / f"{name}.json"
