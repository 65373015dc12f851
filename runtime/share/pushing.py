"""Bringing a bundle to where others find it."""

from __future__ import annotations

from pathlib import Path
from typing import assert_never

from runtime.share.local import file_for, save
from runtime.share.pack import Packed
from runtime.share.reference import names_bundle, parse_reference


def pushed(found: Packed, where: str, *, public: bool = False) -> str:
    """Bring a bundle somewhere.

    Args:
        found: the bundle.
        where: a folder or file, an address, a git repository, or a model of the hub.
        public: a model of the hub that is made for it is there for everybody.

    Returns:
        The reference by which it is found there, pinned.

    Raises:
        SpecError: F0860 it cannot be brought there, F0802 or F0807 not be written.
    """
    sha256 = found.manifest.sha256
    if not names_bundle(where):
        path = file_for(Path(where), found.manifest.name)
        if path.suffix != ".zip":  # a folder that is not there yet
            path = file_for(None, found.manifest.name)
            path = Path(where) / path
        save(found, path)
        return f"{path}#sha256={sha256}"
    target = parse_reference(where)
    match target.kind:
        case "path":
            save(found, Path(target.where))
        case "web":
            from runtime.share.web import put

            put(found, target)
        case "git":
            from runtime.share.git import committed

            committed(found, target)
        case "hub":
            from runtime.share.hub import uploaded

            uploaded(found, target, public=public)
        case kind:
            assert_never(kind)
    return target.pinned(sha256)
