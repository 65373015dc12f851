"""Bundles as models of the Hugging Face hub, by its own library.

A bundle's files lie in the model's repository as they are, the card as its README.md. The
library knows who you are (`hf auth login`), which hub is meant (`HF_ENDPOINT`) and how large
files travel.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock

from compiler.diagnostics import SpecError, diagnostic
from compiler.version import VERSION
from runtime.data.fetch import cache_folder
from runtime.share.archive import CHUNK
from runtime.share.bundle import Bundle, admit, cannot_keep, known, manifest_of
from runtime.share.kept import is_offline, last_visit, offline, remember, unreached
from runtime.share.manifest import MAX_MANIFEST, Manifest
from runtime.share.pack import Packed
from runtime.share.reference import MANIFEST, Reference

if TYPE_CHECKING:
    from huggingface_hub import HfApi

# Seconds without an answer.
TIMEOUT = 30.0


def fetched(reference: Reference) -> Bundle:
    """The bundle in a repository of the hub.

    The hub is asked first which commit is meant; one that is known is not fetched again.

    Raises:
        SpecError: F0636 the library is missing, F0851 the bundle cannot be had; F0852 to F0857:
            it is not in order, or another one.
    """
    if is_offline():
        return unreached(reference, offline(reference))
    api = _library()
    folder = cache_folder() / "bundles" / "downloads"
    key = hashlib.sha256(reference.unpinned.encode()).hexdigest()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / f"{key}.lock"):
            return _visited(api, reference, folder / key)
    except OSError as error:
        raise cannot_keep(error) from None


def _visited(api: HfApi, reference: Reference, folder: Path) -> Bundle:
    from huggingface_hub.errors import RepositoryNotFoundError, RevisionNotFoundError

    before = last_visit(reference)
    try:
        info = api.model_info(reference.where, revision=reference.revision or None,
                              files_metadata=True, timeout=TIMEOUT)
    except (RepositoryNotFoundError, RevisionNotFoundError) as error:
        raise _unreachable(reference, _said(error)) from None
    except Exception as error:  # the library's own, and those of what it talks with
        return unreached(reference, _unreachable(reference, _said(error)))
    commit = info.sha or ""
    if before and commit and before[0].mark == commit and not (
            reference.sha256 and reference.sha256 != before[1].sha256):
        return before[1]
    sizes = {sibling.rfilename: sibling.size for sibling in info.siblings or ()}
    files = HubFiles(api, reference, commit, sizes, folder)
    manifest = manifest_of(files, reference.sha256)
    bundle = known(manifest.sha256) or admit(files, reference.sha256)
    shutil.rmtree(folder, ignore_errors=True)
    return remember(reference, bundle, commit)


class HubFiles:
    """The files of a commit on the hub, each fetched when it is looked at.

    Attributes:
        shown: what messages call them.
    """

    def __init__(self, api: HfApi, reference: Reference, commit: str,
                 sizes: dict[str, int | None], folder: Path):
        self._api, self._reference, self._commit = api, reference, commit
        self._sizes, self._folder = sizes, folder
        self._expected: dict[str, int] = {MANIFEST: MAX_MANIFEST}
        self.shown = f"`{reference.unpinned}`"

    def names(self) -> None:
        """A repository may hold more than a bundle: only what is listed is looked at."""
        return None

    def chunks(self, name: str) -> Iterator[bytes]:
        """The content of a file, piece by piece.

        Raises:
            KeyError: there is none.
            SpecError: F0851 it cannot be fetched, F0855 the hub says that it has another size.
        """
        path = f"{self._reference.subdirectory}/{name}".lstrip("/")
        size = self._sizes[path]
        self._check_size(name, size)
        try:
            local = Path(self._api.hf_hub_download(
                self._reference.where, path, revision=self._commit, local_dir=self._folder))
        except Exception as error:
            raise _unreachable(self._reference, _said(error)) from None
        content = b""
        with local.open("rb") as file:
            while chunk := file.read(CHUNK):
                if name == MANIFEST and len(content) <= MAX_MANIFEST:
                    content += chunk
                yield chunk
        if name == MANIFEST:
            self._expect(content)

    def _expect(self, manifest: bytes) -> None:
        """Keep the sizes of the files in mind, so that no larger one is fetched."""
        from runtime.share.manifest import read_manifest

        for name, entry in read_manifest(manifest, self.shown).files.items():
            self._expected[name] = entry.size

    def _check_size(self, name: str, size: int | None) -> None:
        most = self._expected.get(name, 0)
        if size is not None and size > most:
            raise SpecError([diagnostic(
                "F0855", f"the files of {self.shown} are not those of its manifest",
                notes=[f"the hub says that `{name}` has {size:,} bytes, more than {most:,}"],
                help="take the bundle from elsewhere")])


def uploaded(found: Packed, target: Reference, *, public: bool) -> None:
    """Commit a bundle to a model of the hub, which is made where there is none.

    Args:
        found: the bundle.
        target: the model.
        public: a model that is made is there for everybody; else for its owner alone.

    Raises:
        SpecError: F0636 the library is missing, F0860 the hub refuses, or something else is
            there.
    """
    api = _library()
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete

    prefix = f"{target.subdirectory}/" if target.subdirectory else ""
    branch = target.revision or "main"
    with _pushing(target):
        api.create_repo(target.where, private=not public, exist_ok=True)
        info = api.model_info(target.where, revision=branch, files_metadata=True)
    there = {s.rfilename.removeprefix(prefix): s.size for s in info.siblings or ()
             if s.rfilename.startswith(prefix)}
    older = _older(api, target, info.sha or "", there)
    stale = _stale(target, there, older) - found.manifest.files.keys()
    if older is not None and older.sha256 == found.manifest.sha256:
        return  # the very same
    operations: list[Any] = [
        CommitOperationAdd(f"{prefix}{MANIFEST}", found.manifest.as_bytes()),
        *(CommitOperationAdd(f"{prefix}{name}", str(found.files[name]))
          for name in found.manifest.files),
        *(CommitOperationDelete(f"{prefix}{name}") for name in sorted(stale))]
    with _pushing(target):
        api.create_commit(
            target.where, operations, revision=branch, parent_commit=info.sha,
            commit_message=f"{found.manifest.name}: bundle {found.manifest.sha256[:12]}")


def _older(
    api: HfApi, target: Reference, commit: str, there: dict[str, int | None],
) -> Manifest | None:
    """The manifest of the bundle that is there now; None where there is none."""
    if MANIFEST not in there:
        return None
    folder = cache_folder() / "bundles" / "downloads" / f"push-{commit}"
    sizes = {f"{target.subdirectory}/{name}".lstrip("/"): size for name, size in there.items()}
    try:
        return manifest_of(HubFiles(api, target, commit, sizes, folder))
    except SpecError:
        return None
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _stale(
    target: Reference, there: dict[str, int | None], older: Manifest | None,
) -> set[str]:
    """The files of an older bundle.

    Raises:
        SpecError: F0860 something else is there.
    """
    if older is not None:
        return older.files.keys() & there.keys()
    others = sorted(name for name in there if not name.startswith("."))
    if others:
        raise _refused(target, "something else than a bundle is there: " + ", ".join(
            f"`{name}`" for name in others[:4]),
            "name another model, or a folder of its own: `#subdirectory=digits`")
    return set()


@contextmanager
def _pushing(target: Reference) -> Iterator[None]:
    """What keeps the hub from taking a bundle, as a diagnostic.

    Raises:
        SpecError: F0860.
    """
    try:
        yield
    except Exception as error:  # the library's own, and those of what it talks with
        status = getattr(getattr(error, "response", None), "status_code", None)
        raise _refused(target, _said(error), "say who you are: `hf auth login`"
                       if status in (401, 403) else "try again later") from None


def _library() -> HfApi:
    """The hub's library.

    Raises:
        SpecError: F0636 it is missing.
    """
    try:
        from huggingface_hub import HfApi
    except ImportError:
        raise SpecError([diagnostic(
            "F0636", "models of the Hugging Face hub need its library `huggingface_hub`, which "
                     "is not installed", help='pip install "flaxspec[share]"')]) from None
    return HfApi(library_name="flaxspec", library_version=VERSION)


def _said(error: Exception) -> str:
    """What the library says, in a line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__


def _unreachable(reference: Reference, why: str) -> SpecError:
    return SpecError([diagnostic(
        "F0851", f"`{reference.unpinned}` cannot be had: {why}",
        help="check the name; models that are not public need `hf auth login`")])


def _refused(target: Reference, why: str, help: str) -> SpecError:
    return SpecError([diagnostic(
        "F0860", f"the bundle cannot be brought to `{target.unpinned}`: {why}", help=help)])
