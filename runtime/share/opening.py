"""From a reference to a bundle that was looked at and lies on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import assert_never

from compiler.diagnostics import SpecError, diagnostic
from compiler.home import Home
from runtime.data.files import shown
from runtime.share.archive import SUFFIX, ZipFiles
from runtime.share.bundle import Bundle, admit, in_place, known
from runtime.share.reference import MANIFEST, Reference, parse_reference


def opened(text: str, home: Home | None = None) -> Bundle:
    """The bundle of a reference: fetched where it is elsewhere, and looked at.

    A pinned bundle that the cache has is taken from there; nobody is asked for it.

    Args:
        text: the reference.
        home: where the spec lies that makes it; None for the user's own.

    Raises:
        SpecError: F0850 to F0858: the reference names none, it cannot be had, or it is not in
            order.
    """
    reference = parse_reference(text, home.folder if home else Path())
    if home is not None:
        _check_home(reference, home)
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


def _check_home(reference: Reference, home: Home) -> None:
    """That a spec may name this bundle.

    Raises:
        SpecError: F0234 it lies outside the spec's folder, F0858 the spec is a bundle's itself.
    """
    if home.sealed:
        raise SpecError([diagnostic(
            "F0858", f"a spec of a bundle names another bundle: `{reference.text}`",
            help="give `--set` what it needs, or copy the spec")])
    if reference.is_local and not home.admits(Path(reference.local)):
        raise SpecError([diagnostic(
            "F0234", f"`{reference.text}` is outside the folder that the spec was opened from",
            help="a spec names bundles below it by relative paths")])


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
