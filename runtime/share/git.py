"""Bundles in git repositories, by git's own command line.

Nothing is ever checked out: files are read from git's objects one by one, so that no hook, no
filter and no attribute of the repository has a say, and links and submodules stay names.
Who you are, and proxies, is git's business as always.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from compiler.diagnostics import SpecError, diagnostic
from runtime.share.archive import CHUNK
from runtime.share.bundle import LIMIT_NAME, Bundle, admit, cannot_keep, limit
from runtime.share.kept import is_offline, last_visit, offline, remember, unreached
from runtime.share.manifest import MAX_MANIFEST, Manifest, read_manifest
from runtime.share.pack import Packed
from runtime.share.reference import GIT_SCHEMES, MANIFEST, Reference

# Seconds that a command of git may take; a transfer that stands still ends earlier.
TIMEOUT = 3600
QUICK = 300  # one that transfers nothing
STANDSTILL = 60
MAIN = "main"  # the branch of an empty repository
SETTINGS = {
    "GIT_TERMINAL_PROMPT": "0",  # ask nobody for a password
    "GIT_ASKPASS": "true", "SSH_ASKPASS": "true",
    "GIT_ALLOW_PROTOCOL": ":".join(GIT_SCHEMES),
    "GIT_HTTP_LOW_SPEED_LIMIT": "1", "GIT_HTTP_LOW_SPEED_TIME": str(STANDSTILL),
    "GIT_LFS_SKIP_SMUDGE": "1", "GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C",
}
# What would point git at another repository than the one it is told of.
_FOREIGN = {"GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY",
            "GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_NAMESPACE", "GIT_PREFIX"}
_HARMLESS = ("-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false",
             "-c", "fetch.recurseSubmodules=no", "-c", "gc.auto=0", "-c", "maintenance.auto=false",
             "-c", "transfer.fsckObjects=true")
SSH = "ssh -o BatchMode=yes -o ConnectTimeout=30"


def fetched(reference: Reference) -> Bundle:
    """The bundle in a git repository.

    The repository is asked first which commit is meant; one that is known is not fetched again.

    Raises:
        SpecError: F0851 it cannot be had; F0852 to F0857: it is not in order, or another one.
    """
    if is_offline():
        return unreached(reference, offline(reference))
    try:
        with _repository() as git:
            try:
                commit = git.tip(reference)
                before = last_visit(reference)
                if before and commit and before[0].mark == commit and not (
                        reference.sha256 and reference.sha256 != before[1].sha256):
                    return before[1]
                commit = git.fetch(reference, commit)
            except SpecError as error:
                return unreached(reference, error)
            bundle = admit(git.files(reference, commit), reference.sha256)
            return remember(reference, bundle, commit)
    except OSError as error:
        raise cannot_keep(error) from None


def committed(found: Packed, target: Reference) -> None:
    """Commit a bundle to a branch of a repository, in place of an older one.

    Raises:
        SpecError: F0860 it cannot be brought there, or something else is there.
    """
    try:
        with _repository() as git:
            git.commit(found, target)
    except OSError as error:
        raise _refused(target, error.strerror or str(error)) from None


@contextmanager
def _repository() -> Iterator[_Repository]:
    """A repository of our own, for a moment."""
    if shutil.which("git") is None:
        raise SpecError([diagnostic("F0636", "git repositories need `git`, which is not installed",
                                    help="install it from https://git-scm.com")])
    folder = Path(tempfile.mkdtemp(prefix="flaxspec-git-"))
    try:
        git = _Repository(folder)
        git.run("init", "--quiet", "--bare", "--template=", str(folder))
        yield git
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class _Failed(Exception):
    """A command of git that failed; says what git said."""


class _Repository:
    """A bare repository that is filled from elsewhere."""

    def __init__(self, folder: Path):
        self.folder = folder
        self._environment = {k: v for k, v in os.environ.items()
                             if k not in _FOREIGN} | SETTINGS
        self._environment.setdefault("GIT_SSH_COMMAND", SSH)

    def run(self, *arguments: str, given: bytes = b"", index: bool = False) -> bytes:
        """What a quick command prints.

        Raises:
            _Failed: with what it says.
        """
        done = subprocess.run(
            self._command(arguments), input=given, capture_output=True, timeout=QUICK,
            env=self._environment | ({"GIT_INDEX_FILE": str(self.folder / "new-index")}
                                     if index else {}))
        if done.returncode:
            raise _Failed(_last_words(done.stderr))
        return done.stdout

    def watched(self, *arguments: str) -> None:
        """Run a transfer; it ends when it takes too long or the repository becomes too large.

        Raises:
            _Failed: with what it says.
            SpecError: F0856 it is too large.
        """
        told = self.folder / "said"
        with told.open("wb") as said:
            process = subprocess.Popen(self._command(arguments), stdin=subprocess.DEVNULL,
                                       stdout=subprocess.DEVNULL, stderr=said,
                                       env=self._environment)
            try:
                begun = time.monotonic()
                while process.poll() is None:
                    time.sleep(0.05)
                    if self._size() > 2 * limit():
                        raise SpecError([diagnostic(
                            "F0856", f"the repository is larger than {2 * limit():,} bytes",
                            help="keep bundles in a repository of their own, or allow more in the "
                                 f"environment: {LIMIT_NAME}=BYTES")])
                    if time.monotonic() - begun > TIMEOUT:
                        raise _Failed(f"it took longer than {TIMEOUT // 60} minutes")
            finally:
                if process.poll() is None:
                    process.kill()
                process.wait()
        if process.returncode:
            raise _Failed(_last_words(told.read_bytes()))

    def tip(self, reference: Reference) -> str:
        """The commit of a branch, a tag or the main branch; "" where it may be a commit itself.

        Raises:
            SpecError: F0851 there is no such repository.
        """
        given = reference.revision
        # The best last: a tag's own commit stands behind that of the tag, and a repository that
        # began empty may name a main branch that is not there.
        wanted = [f"refs/heads/{given}", f"refs/tags/{given}", f"refs/tags/{given}^{{}}"] if (
            given) else ["refs/heads/master", f"refs/heads/{MAIN}", "HEAD"]
        try:
            told = self.run("ls-remote", "--", reference.where, *wanted).decode(errors="replace")
        except (_Failed, subprocess.TimeoutExpired) as error:
            raise _unreachable(reference, str(error)) from None
        tips = {name: commit for commit, _, name in
                (line.partition("\t") for line in told.splitlines())}
        return next((tips[name] for name in reversed(wanted) if name in tips), "")

    def fetch(self, reference: Reference, commit: str) -> str:
        """Fetch a commit, without its history; which one it is.

        Raises:
            SpecError: F0851 there is none, F0856 it is too large.
        """
        deep = ["fetch", "--quiet", "--no-tags", "--no-write-fetch-head"]
        given = reference.revision
        try:
            if commit:
                self.watched(*deep, "--depth=1", "--", reference.where, commit)
                return commit
            if not given:
                raise _Failed("it is empty")
            if len(given) == 40:
                try:
                    self.watched(*deep, "--depth=1", "--", reference.where, given)
                    return given
                except _Failed:
                    pass  # not every server gives single commits
            self.watched(*deep, "--", reference.where, "+refs/*:refs/all/*")
            found = self.run("rev-parse", "--verify", "--end-of-options", f"{given}^{{commit}}")
            return found.decode().strip()
        except (_Failed, subprocess.TimeoutExpired) as error:
            what = f"there is no branch, tag or commit `{given}`" if given and not commit else str(
                error)
            raise _unreachable(reference, what) from None

    def files(self, reference: Reference, commit: str) -> GitFiles:
        """The files of a commit below the reference's folder."""
        return GitFiles(self, reference, commit)

    def listed(self, commit: str, folder: str) -> dict[str, tuple[str, str]]:
        """(mode, object) of each file below a folder of a commit.

        Raises:
            _Failed: it is no commit.
        """
        tree = f"{commit}:{folder}" if folder else commit
        told = self.run("ls-tree", "-r", "-z", "--full-tree", tree).decode("utf-8", "replace")
        found = {}
        for line in told.split("\0")[:-1]:
            about, _, name = line.partition("\t")
            mode, _, blob = about.split(" ")
            found[name] = (mode, blob)
        return found

    def chunks(self, blob: str) -> Iterator[bytes]:
        """The content of a file, piece by piece."""
        process = subprocess.Popen(self._command(("cat-file", "blob", blob)),
                                   stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                                   stdin=subprocess.DEVNULL, env=self._environment)
        assert process.stdout is not None
        try:
            while chunk := process.stdout.read(CHUNK):
                yield chunk
            if process.wait():
                raise ValueError("git cannot read it")
        finally:
            process.stdout.close()
            if process.poll() is None:
                process.kill()
            process.wait()

    def commit(self, found: Packed, target: Reference) -> None:
        """Make a commit with a bundle and push it.

        Raises:
            SpecError: F0860.
        """
        branch = target.revision or self._main_branch(target)
        try:
            before = self.run("ls-remote", "--", target.where, f"refs/heads/{branch}")
            parent = before.decode().split("\t")[0]
            if parent:
                self.watched("fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--depth=1",
                             "--", target.where, parent)
                self.run("read-tree", parent, index=True)
                self._clear(parent, target)
            self._add(found, target.subdirectory)
            tree = self.run("write-tree", index=True).decode().strip()
            if parent and self.run("rev-parse", f"{parent}^{{tree}}").decode().strip() == tree:
                return  # the very same
            message = f"{found.manifest.name}: bundle {found.manifest.sha256[:12]}"
            made = self.run("commit-tree", tree, *(["-p", parent] if parent else []),
                            given=message.encode()).decode().strip()
            self.watched("push", "--quiet", "--", target.where, f"{made}:refs/heads/{branch}")
        except (_Failed, subprocess.TimeoutExpired) as error:
            said = str(error)
            help = "say who you are: `git config --global user.email YOU@HOST`" if (
                "tell me who you are" in said or "ident name" in said) else ""
            raise _refused(target, said, help) from None

    def _main_branch(self, target: Reference) -> str:
        """The branch that the repository's HEAD is; `main` of an empty one."""
        try:
            told = self.run("ls-remote", "--symref", "--", target.where, "HEAD").decode()
        except (_Failed, subprocess.TimeoutExpired) as error:
            raise _refused(target, str(error)) from None
        first = told.partition("\t")[0]
        return first.removeprefix("ref: refs/heads/") if first.startswith("ref: ") else MAIN

    def _clear(self, parent: str, target: Reference) -> None:
        """Take the files of an older bundle out of the commit to be.

        Raises:
            SpecError: F0860 something else is there.
        """
        try:
            there = self.listed(parent, target.subdirectory)
        except _Failed:
            return  # no such folder yet
        if not there:
            return
        content, shown = b"", f"`{target.unpinned}`"
        for chunk in self.chunks(there[MANIFEST][1]) if MANIFEST in there else ():
            content += chunk
            if len(content) > MAX_MANIFEST:
                break
        try:
            older: Manifest | None = read_manifest(content, shown) if content else None
        except SpecError:
            older = None
        own = {MANIFEST, *(older.files if older else ())}
        others = [name for name in there if name not in own and not name.startswith(".")]
        if older is None and others:
            raise _refused(target, "something else than a bundle is there: " + ", ".join(
                f"`{name}`" for name in others[:4]),
                "name a folder of its own: `#subdirectory=models/digits`")
        prefix = f"{target.subdirectory}/" if target.subdirectory else ""
        lines = "".join(f"0 {'0' * 40}\t{prefix}{name}\n" for name in own & there.keys())
        self.run("update-index", "--index-info", given=lines.encode(), index=True)

    def _add(self, found: Packed, folder: str) -> None:
        """Put the files of a bundle into the commit to be."""
        prefix = f"{folder}/" if folder else ""
        blobs = {MANIFEST: self.run("hash-object", "-w", "--stdin",
                                    given=found.manifest.as_bytes()).decode().strip()}
        for name in found.manifest.files:
            blobs[name] = self.run("hash-object", "-w", "--no-filters", "--",
                                   str(found.files[name].absolute())).decode().strip()
        lines = "".join(f"100644 {blob}\t{prefix}{name}\n" for name, blob in blobs.items())
        self.run("update-index", "--index-info", given=lines.encode(), index=True)

    def _size(self) -> int:
        """Bytes on the disk."""
        total = 0
        for folder, _, names in os.walk(self.folder):
            for name in names:
                try:
                    total += os.lstat(os.path.join(folder, name)).st_size
                except OSError:
                    continue  # git renames what is complete
        return total

    def _command(self, arguments: Sequence[str]) -> list[str]:
        return ["git", "--git-dir", str(self.folder), *_HARMLESS, *arguments]


class GitFiles:
    """The files of a commit.

    Attributes:
        shown: what messages call them.
    """

    def __init__(self, git: _Repository, reference: Reference, commit: str):
        """List them.

        Raises:
            SpecError: F0851 the commit has no such folder.
        """
        self._git, self.shown = git, f"`{reference.unpinned}`"
        try:
            self._listed = git.listed(commit, reference.subdirectory)
        except _Failed:
            raise SpecError([diagnostic(
                "F0851", f"{self.shown} is not there: commit {commit[:12]} has no folder "
                         f"`{reference.subdirectory}`")]) from None

    def names(self) -> None:
        """A repository may hold more than a bundle: only what is listed is looked at."""
        return None

    def chunks(self, name: str) -> Iterator[bytes]:
        """The content of a file; raises KeyError where there is none, or no file of that name."""
        mode, blob = self._listed[name]
        if mode not in ("100644", "100755"):  # a link, or another repository
            raise KeyError(name)
        return self._git.chunks(blob)


def _last_words(said: bytes) -> str:
    """The line of git's complaint that says most."""
    lines = [line.strip() for line in said.decode("utf-8", "replace").splitlines() if line.strip()]
    told = [line for line in lines if line.startswith(("fatal:", "error:", "remote:", "!"))]
    best = (told or lines or ["git failed"])[0]
    return best.removeprefix("fatal: ").removeprefix("error: ")


def _unreachable(reference: Reference, why: str) -> SpecError:
    return SpecError([diagnostic(
        "F0851", f"`{reference.unpinned}` cannot be had: {why}",
        help="check the address, and with `git ls-remote` that git itself may read it")])


def _refused(target: Reference, why: str, help: str = "") -> SpecError:
    return SpecError([diagnostic(
        "F0860", f"the bundle cannot be brought to `{target.unpinned}`: {why}",
        help=help or "check that git itself may write there")])
