"""Bundles made by hand, good ones and hostile ones, and a server on this machine."""

from __future__ import annotations

import hashlib
import http.server
import json
import struct
import threading
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from runtime.share.manifest import Entry, Manifest

SPEC = """\
flaxspec: 1
name: tiny
summary: A linear classifier of digits

inputs:
  image: {shape: [8, 8, 1]}

model:
  - flatten
  - dense: 10

data: {dataset: digits}
task: classification
train: {epochs: 1, batch_size: 128, optimizer: {adam: 0.01}}
"""
FIELDS = {
    "image": {"axes": ["height", "width", "channels"], "shape": [8, 8, 1], "dtype": "float",
              "vocabulary": None},
    "label": {"axes": [], "shape": [], "dtype": "int", "vocabulary": 10}}
CLAIM = {"metric": "accuracy", "part": "test", "examples": 360,
         "figures": {"loss": 2.3, "accuracy": 0.1}, "seed": 0}


def weights() -> bytes:
    """Zeros for the model of `SPEC`, as a safetensors file."""
    header, content = {}, b""
    for name, shape in (("dense_1.bias", [10]), ("dense_1.kernel", [64, 10])):
        size = 4 * shape[0] * (shape[1] if len(shape) > 1 else 1)
        header[name] = {"dtype": "F32", "shape": shape,
                        "data_offsets": [len(content), len(content) + size]}
        content += bytes(size)
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + content


def files(**changes: bytes | str | None) -> dict[str, bytes]:
    """The files of a good bundle; `spec__yaml="…"` puts another text, None leaves one out."""
    told: dict[str, Any] = {
        "spec.yaml": SPEC, "weights.safetensors": weights(), "README.md": "# tiny\n",
        "summary.json": json.dumps({"test": CLAIM["figures"], "validation": {}, "epochs": 1,
                                    "steps": 10, "kept_epoch": 1, "seconds": 1.0, "params": 650,
                                    "seed": 0, "metric": "accuracy"}),
        "preprocessing.json": json.dumps({
            "fields": FIELDS, "labels": {"label": list("0123456789")}, "scales": {},
            "normalise": {}, "fitted": {}}),
        "metrics.jsonl": '{"event": "begin", "examples": {"test": 360}}\n',
        "environment.json": "{}"}
    told |= {name.replace("__", "."): value for name, value in changes.items()}
    return {name: value.encode() if isinstance(value, str) else value
            for name, value in told.items() if value is not None}


def manifest(content: Mapping[str, bytes], **about: Any) -> bytes:
    """The manifest of some files."""
    entries = {name: Entry(hashlib.sha256(data).hexdigest(), len(data))
               for name, data in content.items()}
    return Manifest({"name": "tiny", "score": CLAIM} | about, entries).as_bytes()


def zipped(path: Path, content: Mapping[str, bytes], told: bytes | None = None) -> Path:
    """A zip with a manifest and files; the manifest is theirs where not given."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("manifest.json", manifest(content) if told is None else told)
        for name, data in content.items():
            archive.writestr(name, data)
    return path


def unpacked(folder: Path, content: Mapping[str, bytes], told: bytes | None = None) -> Path:
    """A folder with a manifest and files."""
    folder.mkdir(parents=True)
    for name, data in {"manifest.json": manifest(content) if told is None else told,
                       **content}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def everything_under(folder: Path) -> set[str]:
    """Every path below a folder."""
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*")}


class Server:
    """What a server offers, what it was asked, and how it misbehaves.

    Attributes:
        address: where it is.
        files: content by path.
        asked: (method, path, the Range header or "") of every request.
        cut: how many bytes each of the next answers ends after, though it promised more.
        status: the statuses of the next answers, in place of what was asked for.
        redirects: addresses by path.
        endless: paths whose content never ends.
        takes: whether it takes files by PUT.
    """

    def __init__(self) -> None:
        self.address = ""
        self.files: dict[str, bytes] = {}
        self.asked: list[tuple[str, str, str]] = []
        self.cut: list[int] = []
        self.status: list[int] = []
        self.redirects: dict[str, str] = {}
        self.endless: set[str] = set()
        self.takes = True


@contextmanager
def serving() -> Iterator[Server]:
    """A server on this machine."""
    state = Server()

    class Handler(http.server.BaseHTTPRequestHandler):
        def log_message(self, format: str, *args: Any) -> None:
            pass

        def do_GET(self) -> None:
            wanted = self.headers.get("Range") or ""
            state.asked.append(("GET", self.path, wanted))
            if state.status:
                return self.send_error(state.status.pop(0))
            if self.path in state.redirects:
                self.send_response(302)
                self.send_header("Location", state.redirects[self.path])
                self.send_header("Content-Length", "0")
                return self.end_headers()
            if self.path in state.endless:
                return self.flood()
            if self.path not in state.files:
                return self.send_error(404)
            content = state.files[self.path]
            tag = f'"{hashlib.sha256(content).hexdigest()[:16]}"'
            if self.headers.get("If-None-Match") == tag:
                self.send_response(304)
                return self.end_headers()
            start = 0
            if wanted and self.headers.get("If-Range") == tag:
                start = int(wanted.removeprefix("bytes=").removesuffix("-"))
            self.send_response(206 if start else 200)
            self.send_header("ETag", tag)
            if start:
                self.send_header("Content-Range",
                                 f"bytes {start}-{len(content) - 1}/{len(content)}")
            self.send_header("Content-Length", str(len(content) - start))
            self.end_headers()
            end = state.cut.pop(0) if state.cut else len(content)
            self.wfile.write(content[start:end])

        def flood(self) -> None:
            self.send_response(200)
            self.end_headers()
            try:
                while True:
                    self.wfile.write(bytes(65536))
            except OSError:
                pass

        def do_PUT(self) -> None:
            state.asked.append(("PUT", self.path, ""))
            content = self.rfile.read(int(self.headers["Content-Length"]))
            if not state.takes:
                return self.send_error(405)
            state.files[self.path] = content
            self.send_response(201)
            self.send_header("Content-Length", "0")
            self.end_headers()

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state.address = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
