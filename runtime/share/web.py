"""Bundles on a server: fetched by GET, what was interrupted gone on with; brought by PUT."""

from __future__ import annotations

import hashlib
import http.client
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO, Any
from urllib.parse import unquote, urlsplit

from filelock import FileLock

from compiler.diagnostics import SpecError, diagnostic
from compiler.version import VERSION
from runtime.data.fetch import TIMEOUT, WAITS, cache_folder, shown_progress
from runtime.share.archive import CHUNK, ZipFiles, write_zip
from runtime.share.bundle import LIMIT_NAME, Bundle, admit, cannot_keep, limit
from runtime.share.kept import is_offline, last_visit, offline, remember, unreached
from runtime.share.pack import Packed
from runtime.share.reference import Reference

AGENT = {"User-Agent": f"flaxspec/{VERSION}"}
# Bytes that a zip has besides those of its files, at most.
ROOM = 2**22


class _SafeRedirects(urllib.request.HTTPRedirectHandler):
    """Redirections stay on the web, and on https once they are there."""

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any,
                         newurl: str) -> Any:
        scheme = urlsplit(newurl).scheme
        if scheme not in ("http", "https") or (
                scheme == "http" and urlsplit(req.full_url).scheme == "https"):
            raise urllib.error.URLError(f"it redirects to `{newurl}`, which is not safe")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


# No other schemes: an address never leads to a file of this machine.
_OPENER = urllib.request.OpenerDirector()
for _handler in (urllib.request.ProxyHandler(), urllib.request.HTTPHandler(),
                 urllib.request.HTTPSHandler(), urllib.request.HTTPDefaultErrorHandler(),
                 urllib.request.HTTPErrorProcessor(), _SafeRedirects()):
    _OPENER.add_handler(_handler)


def fetched(reference: Reference, waits: tuple[float, ...] = WAITS) -> Bundle:
    """The bundle at an address.

    The server is asked whether it changed since the last time; where the server cannot be
    reached, the copy of the last time is used, with a warning.

    Raises:
        SpecError: F0851 it cannot be had; F0852 to F0857: it is not in order, or another one.
    """
    before = last_visit(reference)
    if is_offline():
        return unreached(reference, offline(reference))
    folder = cache_folder() / "bundles" / "downloads"
    key = hashlib.sha256(reference.where.encode()).hexdigest()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / f"{key}.lock"):
            return _visited(reference, folder / f"{key}.partial", before, waits)
    except OSError as error:
        raise cannot_keep(error) from None


def _visited(
    reference: Reference, partial: Path, before: tuple[Any, Bundle] | None,
    waits: tuple[float, ...],
) -> Bundle:
    download = _Download(reference.where, partial, before[0].mark if before else "")
    try:
        changed = download.run(waits)
    except SpecError as error:
        if download.refused:
            raise
        return unreached(reference, error)
    if not changed and before is not None:
        bundle = before[1]
        if reference.sha256 and bundle.sha256 != reference.sha256:
            raise _another(reference, bundle.sha256)
        return bundle
    try:
        files = ZipFiles(partial)
        files.shown = f"`{reference.where}`"
        try:
            bundle = admit(files, reference.sha256)
        finally:
            files.close()
    except SpecError as error:
        raise SpecError(_named(d, partial, reference.where) for d in error.diagnostics) from None
    finally:
        partial.unlink(missing_ok=True)
        download.notes.unlink(missing_ok=True)
    return remember(reference, bundle, download.mark)


def _named(complaint: Any, partial: Path, address: str) -> Any:
    """A complaint about the file of a download as one about its address."""
    from dataclasses import replace

    from runtime.data.files import shown

    return replace(complaint, headline=complaint.headline.replace(shown(partial), address))


def _another(reference: Reference, found: str) -> SpecError:
    return SpecError([diagnostic(
        "F0857", f"`{reference.where}` is another bundle than the one asked for",
        notes=[f"its hash is    {found}", f"it should be   {reference.sha256}"],
        help="it was changed or replaced; ask who named it to you which one is meant")])


class _Download:
    """A file on its way here.

    Attributes:
        refused: whether the server was reached, and refused.
        mark: the ETag of the file; "" where the server gives none.
        notes: where the ETag of an interrupted download is kept.
    """

    def __init__(self, address: str, partial: Path, known: str):
        self.address, self.partial, self.known = address, partial, known
        self.notes = partial.with_suffix(".etag")
        self.mark, self.refused = "", False

    def run(self, waits: tuple[float, ...]) -> bool:
        """Fetch the file, in several attempts; whether it is another than the known one.

        Raises:
            SpecError: F0851 it cannot be had, F0856 it is too large.
        """
        for number in range(len(waits) + 1):
            try:
                return self._attempt()
            except urllib.error.HTTPError as error:
                if error.code == 304:
                    return False
                self.refused = error.code < 500
                reason = f"the server says {error.code} {error.reason}"
            except (urllib.error.URLError, http.client.HTTPException, TimeoutError,
                    ConnectionError) as error:
                reason = str(getattr(error, "reason", error) or type(error).__name__)
            if self.refused or number == len(waits):
                break
            time.sleep(waits[number])
        raise SpecError([diagnostic(
            "F0851", f"{self.address} cannot be fetched: {reason}",
            help="" if self.refused else "try again: what is here already is gone on with")])

    def _attempt(self) -> bool:
        """One connection."""
        have, mark = 0, ""
        if self.partial.exists() and self.notes.exists():
            have, mark = self.partial.stat().st_size, self.notes.read_text(encoding="utf-8")
        request = urllib.request.Request(self.address, headers=dict(AGENT))
        if have and mark:
            request.add_header("Range", f"bytes={have}-")
            request.add_header("If-Range", mark)
        elif self.known:
            request.add_header("If-None-Match", self.known)
        try:
            answer = _OPENER.open(request, timeout=TIMEOUT)
        except urllib.error.HTTPError as error:
            if error.code == 416 and have:  # what is here is no beginning of it
                self.partial.unlink()
                raise ConnectionError("the server knows of no such part") from None
            raise
        assert answer is not None
        with answer:
            self._receive(answer, have)
        return True

    def _receive(self, answer: Any, have: int) -> None:
        if answer.status != 206 or not str(
                answer.headers.get("Content-Range", "")).startswith(f"bytes {have}-"):
            have = 0
        tag = answer.headers.get("ETag") or ""
        self.mark = tag if tag.isprintable() and len(tag) < 500 else ""
        # Only a strong tag says that two downloads are of the same bytes.
        strong = self.mark if not self.mark.startswith("W/") else ""
        self.notes.write_text(strong, encoding="utf-8")
        length = answer.headers.get("Content-Length") or ""
        total = have + int(length) if length.isdecimal() else 0
        name = PurePosixPath(unquote(urlsplit(self.address).path)).name or "bundle"
        with self.partial.open("ab" if have else "wb") as file:
            self._check_size(max(total, have))
            shown_progress(name, have, total)
            while chunk := answer.read(CHUNK):
                file.write(chunk)
                have += len(chunk)
                self._check_size(have)
                shown_progress(name, have, total)
        if have < total:
            raise ConnectionError("the connection ended early")

    def _check_size(self, size: int) -> None:
        if size > limit() + ROOM:
            self.refused = True
            raise SpecError([diagnostic(
                "F0856", f"{self.address} has more than the {limit():,} bytes that are allowed",
                help=f"allow more in the environment: {LIMIT_NAME}=BYTES")])


def put(found: Packed, target: Reference) -> None:
    """Bring a bundle to an address.

    Raises:
        SpecError: F0860 the server refuses, or cannot be reached.
    """
    with tempfile.TemporaryDirectory(prefix="flaxspec-push-") as folder:
        file = Path(folder) / "bundle.zip"
        write_zip(file, found.manifest, found.files)
        size = file.stat().st_size
        with file.open("rb") as content:
            request = urllib.request.Request(
                target.where, data=_pieces(content), method="PUT",
                headers={**AGENT, "Content-Type": "application/zip", "Content-Length": str(size)})
            try:
                answer = _OPENER.open(request, timeout=TIMEOUT)
                if answer is not None:
                    answer.close()
            except urllib.error.HTTPError as error:
                raise _refused(target.where, f"the server says {error.code} {error.reason}",
                               _remedy(error.code)) from None
            except (urllib.error.URLError, http.client.HTTPException, TimeoutError,
                    ConnectionError) as error:
                reason = str(getattr(error, "reason", error) or type(error).__name__)
                raise _refused(target.where, reason, "try again, or choose another place") from None


def _pieces(file: IO[bytes]) -> Iterator[bytes]:
    while chunk := file.read(CHUNK):
        yield chunk


def _remedy(code: int) -> str:
    """What to do where a server refuses."""
    if code in (401, 403):
        return ("it wants to know who you are: use an address that may be written to, such as a "
                "presigned one")
    if code in (404, 405, 501):
        return ("it takes no files by PUT: upload the file that `flaxspec pack` makes by other "
                "means, and pull it from there")
    return "the file that `flaxspec pack` makes can be uploaded by other means"


def _refused(address: str, why: str, help: str) -> SpecError:
    return SpecError([diagnostic("F0860", f"the bundle cannot be brought to {address}: {why}",
                                 help=help)])
