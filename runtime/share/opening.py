"""From a reference to a bundle that was looked at and lies on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import assert_never

from compiler.diagnostics import SpecError, diagnostic
from runtime.data.files import shown
from runtime.share.archive import SUFFIX, ZipFiles
from runtime.share.bundle import Bundle, admit, in_place, known
from runtime.share.reference import MANIFEST, Reference, parse_reference


def opened(text: str) -> Bundle:
    """The bundle of a reference: fetched where it is elsewhere, and looked at.

    A pinned bundle that the cache has is taken from there; nobody is asked for it.

    Raises:
        SpecError: F0850 to F0857: the reference names none, it cannot be had, or it is not in
            order.
    """
    reference = parse_reference(text)
    if reference.is_remote and reference.sha256 and (kept := known(reference.sha256)):
        return kept
    match reference.kind:
        case "path":
            return _at_path(reference)
        case "web":
            from runtime.share.web import fetched

            return fetched(reference)
        case "git":
            from runtime.share.git import fetched

            return fetched(reference)
        case "hub":
            from runtime.share.hub import fetched

            return fetched(reference)
        case kind:
            assert_never(kind)


def _at_path(reference: Reference) -> Bundle:
    path = Path(reference.where)
    if path.is_dir():
        if not (path / MANIFEST).is_file():
            raise SpecError([diagnostic(
                "F0852", f"`{shown(path)}` is no bundle: it has no `{MANIFEST}`",
                help=f"`flaxspec pack {shown(path)}` makes one of a finished run")])
        return in_place(path, reference.sha256)
    if not path.exists():
        raise SpecError([diagnostic(
            "F0851", f"there is no bundle `{shown(path)}`", notes=_beside(path))])
    files = ZipFiles(path)
    try:
        return admit(files, reference.sha256)
    finally:
        files.close()


def _beside(path: Path) -> list[str]:
    """What there is in place of a file that is not there."""
    if not path.parent.is_dir():
        return [f"there is no folder `{shown(path.parent)}`"]
    there = sorted(p.name for p in path.parent.iterdir() if p.name.endswith(SUFFIX))
    return [f"`{shown(path.parent)}` has {', '.join(there[:8])}"] if there else []
