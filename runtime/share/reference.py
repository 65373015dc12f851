"""What a user writes to name a bundle: a path, an address, a git repository, a hub's model.

    digits.flaxspec.zip          a file; a folder with a `manifest.json` likewise
    https://host/digits.zip      a file on a server
    git+https://host/x.git@v1    a git repository, at a branch, tag or commit; so is `models.git`
    hf:owner/name@main           a model of the Hugging Face hub

Behind a `#` stand `sha256=…`, which pins the bundle, and `subdirectory=…` of a git repository
or of the hub, joined by `&`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal
from urllib.parse import unquote, urlsplit

from compiler.diagnostics import SpecError, diagnostic

Kind = Literal["path", "web", "git", "hub"]

MANIFEST = "manifest.json"
SHA256 = re.compile(r"[0-9a-f]{64}")
# How git may reach a repository; others of its ways run programs.
GIT_SCHEMES = ("https", "http", "ssh", "git", "file")
_FRAGMENT = re.compile(r"#((?:sha256|subdirectory)=[^#]*)$")
_GIT_PATH = re.compile(r"(.*\.git)(?:@(.+))?")
_HUB = re.compile(r"([A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95})(?:@([\w./-]+))?")
# A branch, tag or commit; git itself forbids more.
_REVISION = re.compile(r"(?![-/.])[\w./+-]{1,200}")


@dataclass(frozen=True)
class Reference:
    """Where a bundle is.

    Attributes:
        text: as it was written.
        kind: how it is reached.
        where: the path, the address, git's name of the repository, or owner/name.
        revision: a branch, tag or commit; "" for the repository's main one.
        subdirectory: the folder in the repository; "" for its root.
        sha256: what the bundle's hash has to be, or "".
        local: the path on this machine; "" where an address says where it is.
    """

    text: str
    kind: Kind
    where: str
    revision: str = ""
    subdirectory: str = ""
    sha256: str = ""
    local: str = ""

    @property
    def unpinned(self) -> str:
        """The reference without its hash: what is the same for all versions."""
        inner = f"#subdirectory={self.subdirectory}" if self.subdirectory else ""
        return _FRAGMENT.sub("", self.text) + inner

    @property
    def is_remote(self) -> bool:
        """Whether it may be on another machine."""
        return self.kind != "path"

    @property
    def is_local(self) -> bool:
        """Whether a path says where it is."""
        return bool(self.local)

    def pinned(self, sha256: str) -> str:
        """The reference with a hash."""
        joint = "&" if self.subdirectory else "#"
        return f"{self.unpinned}{joint}sha256={sha256}"


def names_bundle(text: str) -> bool:
    """Whether a text that may also be a spec, a run or a zoo name is a reference to a bundle."""
    bare = _FRAGMENT.sub("", text)
    if bare != text or bare.startswith(("http://", "https://", "git+", "hf:")):
        return True
    if _GIT_PATH.fullmatch(bare) or bare.lower().endswith(".zip"):
        return True
    try:
        return (Path(bare) / MANIFEST).is_file()
    except (OSError, ValueError):  # too long for a name, or a zero byte
        return False


def is_remote(text: str) -> bool:
    """Whether a text is a reference to a bundle that is no path."""
    return names_bundle(text) and parse_reference(text).is_remote


def parse_reference(text: str, folder: Path = Path()) -> Reference:
    """A reference as its parts.

    Args:
        text: the reference.
        folder: where relative paths begin.

    Raises:
        SpecError: F0850 it is none.
    """
    found = _FRAGMENT.search(text)
    bare = text[: found.start()] if found else text
    reference = _located(text, bare, folder)
    for part in found[1].split("&") if found else ():
        reference = _with(reference, *part.partition("=")[::2])
    return reference


def _located(text: str, bare: str, folder: Path) -> Reference:
    """The part before the `#`."""
    if bare.startswith(("http://", "https://")):
        try:
            parts = urlsplit(bare)
            fine = bool(parts.hostname) and parts.port != 0
        except ValueError:
            fine = False
        if not fine or any(c.isspace() or not c.isprintable() for c in bare):
            raise _wrong(text, "it is no address", "as in `https://example.org/digits.zip`")
        return Reference(text, "web", bare)
    if bare.startswith("hf:"):
        hub = _HUB.fullmatch(bare[3:])
        if hub is None or ".." in bare:
            raise _wrong(text, "a model of the hub is `hf:owner/name`, or `hf:owner/name@revision`")
        return Reference(text, "hub", hub[1], hub[2] or "")
    if bare.startswith("git+"):
        return _git(text, bare[4:])
    path = _GIT_PATH.fullmatch(bare)
    if not bare or "\0" in bare:
        raise _wrong(text, "it names nothing")
    if path is not None and not (folder / bare / MANIFEST).is_file():
        where = (folder / Path(path[1]).expanduser()).absolute()
        return _at(Reference(text, "git", where.as_uri(), local=str(where)), path[2])
    where = folder / Path(bare).expanduser()
    return Reference(text, "path", str(where), local=str(where))


def _git(text: str, address: str) -> Reference:
    scheme, joint, rest = address.partition("://")
    if not joint or scheme not in GIT_SCHEMES:
        raise _wrong(text, f"git's repositories are reached by {', '.join(GIT_SCHEMES)}",
                     "as in `git+https://example.org/models.git@v1`")
    host, slash, path = rest.partition("/")
    path, at, revision = path.rpartition("@") if "@" in path else (path, "", "")
    if not slash or host.startswith("-") or not path or any(
            c.isspace() or not c.isprintable() for c in address):
        raise _wrong(text, "it names no repository",
                     "as in `git+https://example.org/models.git@v1`")
    if at and not revision:
        raise _wrong(text, "no branch, tag or commit stands behind the `@`")
    return _at(Reference(text, "git", f"{scheme}://{host}/{path}"), revision)


def _at(reference: Reference, revision: str | None) -> Reference:
    if revision and (not _REVISION.fullmatch(revision) or ".." in revision):
        raise _wrong(reference.text, f"`{revision}` is no branch, tag or commit")
    return replace(reference, revision=revision or "")


def _with(reference: Reference, key: str, value: str) -> Reference:
    """The reference with one of the parts behind its `#`."""
    if key == "sha256":
        if not SHA256.fullmatch(value):
            raise _wrong(reference.text, "behind `sha256=` stand the 64 digits of a hash",
                         "`flaxspec pack`, `push` and `pull` print it")
        return replace(reference, sha256=value)
    if key == "subdirectory" and reference.kind in ("git", "hub"):
        value = unquote(value).strip("/")
        parts = value.split("/")
        if any(part in ("", ".", "..") or part.startswith("-") or not part.isprintable()
               or set(part) & set('\\:*?"<>|') for part in parts):
            raise _wrong(reference.text, f"`{value}` is no folder of a repository")
        return replace(reference, subdirectory=value)
    what = "only a repository has a `subdirectory`" if key == "subdirectory" else (
        f"`{key}` cannot stand behind the `#`")
    raise _wrong(reference.text, what,
                 "`#sha256=…` pins a bundle; `#subdirectory=…` is a repository's folder")


def _wrong(text: str, why: str, help: str = "") -> SpecError:
    return SpecError([diagnostic("F0850", f"`{text}` names no bundle: {why}", help=help)])
