"""A stand-in for the Hugging Face hub: the requests of `huggingface_hub` that a bundle needs.

It is no hub: it knows models, their commits and small files sent with a commit, and trusts
anybody who shows a token.
"""

from __future__ import annotations

import base64
import hashlib
import http.server
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import unquote, urlsplit


class Hub:
    """The models of the hub.

    Attributes:
        address: where it is.
        commits: by model, the files of each commit, the oldest first.
        private: the models that were made for their owner alone.
        asked: (method, path) of every request.
        takes: whether it takes commits.
    """

    def __init__(self) -> None:
        self.address = ""
        self.commits: dict[str, list[dict[str, bytes]]] = {}
        self.private: set[str] = set()
        self.asked: list[tuple[str, str]] = []
        self.takes = True

    def sha(self, model: str, number: int = -1) -> str:
        """The name of a commit."""
        count = len(self.commits[model])
        return hashlib.sha1(f"{model} {number % count}".encode()).hexdigest()

    def at(self, model: str, revision: str) -> dict[str, bytes] | None:
        """The files of a revision; None where there is none."""
        names = {self.sha(model, i): files for i, files in enumerate(self.commits[model])}
        return self.commits[model][-1] if revision == "main" else names.get(revision)


@contextmanager
def serving_hub() -> Iterator[Hub]:
    """A stand-in on this machine."""
    hub = Hub()

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: Any) -> None:
            pass

        def json(self, content: Any, status: int = 200) -> None:
            self.content(json.dumps(content).encode(), status, "application/json")

        def content(self, data: bytes, status: int = 200, kind: str = "text/plain",
                    **headers: str) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name.replace("_", "-"), value)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(data)

        def missing(self, code: str) -> None:
            self.content(b"", 404, X_Error_Code=code, X_Error_Message="not there")

        def do_HEAD(self) -> None:
            self.do_GET()

        def do_GET(self) -> None:
            path = unquote(urlsplit(self.path).path)
            hub.asked.append((self.command, path))
            if path.startswith("/api/models/"):
                name, _, revision = path.removeprefix("/api/models/").partition("/revision/")
                return self.about(name, revision or "main")
            model, _, rest = path.removeprefix("/").partition("/resolve/")
            revision, _, file = rest.partition("/")
            if model not in hub.commits:
                return self.missing("RepoNotFound")
            files = hub.at(model, revision)
            if files is None or file not in files:
                return self.missing("EntryNotFound" if files is not None else "RevisionNotFound")
            data = files[file]
            self.content(data, ETag=f'"{hashlib.sha1(data).hexdigest()}"',
                         X_Repo_Commit=revision)

        def about(self, model: str, revision: str) -> None:
            if model not in hub.commits:
                return self.missing("RepoNotFound")
            files = hub.at(model, revision)
            if files is None:
                return self.missing("RevisionNotFound")
            sha = hub.sha(model) if revision == "main" else revision
            self.json({"id": model, "modelId": model, "sha": sha, "private": False, "tags": [],
                       "siblings": [{"rfilename": name, "size": len(data)}
                                    for name, data in files.items()]})

        def do_POST(self) -> None:
            path = urlsplit(self.path).path
            hub.asked.append(("POST", path))
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if not hub.takes or not self.headers.get("Authorization"):
                return self.content(b"", 403)
            if path == "/api/repos/create":
                told = json.loads(body)
                model = f"{told.get('organization') or 'me'}/{told['name']}"
                if model in hub.commits:
                    return self.json({"url": f"{hub.address}/{model}"}, 409)
                hub.commits[model] = [{".gitattributes": b""}]
                if told.get("private") or told.get("visibility") == "private":
                    hub.private.add(model)
                return self.json({"url": f"{hub.address}/{model}", "name": model})
            if path == "/api/validate-yaml":  # what stands between `---` in a README.md
                return self.json({"warnings": [], "errors": []})
            model = "/".join(path.removeprefix("/api/models/").split("/")[:2])
            if "/preupload/" in path:
                asked = json.loads(body)["files"]
                return self.json({"files": [
                    {"path": f["path"], "uploadMode": "regular", "shouldIgnore": False}
                    for f in asked]})
            files = dict(hub.commits[model][-1])
            for line in body.splitlines():
                told = json.loads(line)
                value = told["value"]
                if told["key"] == "file":
                    files[value["path"]] = base64.b64decode(value["content"])
                elif told["key"] == "deletedFile":
                    files.pop(value["path"])
            hub.commits[model].append(files)
            self.json({"success": True, "commitUrl": f"{hub.address}/{model}/commit/x",
                       "commitOid": hub.sha(model), "hookOutput": ""})

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub.address = f"http://127.0.0.1:{server.server_address[1]}"
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
