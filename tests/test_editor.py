"""Completion and errors in an editor: a real YAML language server reads the zoo's modelines.

It needs node and the npm package `yaml-language-server`, which is looked for on the path;
FLAXSPEC_YAML_SERVER names its script (`bin/yaml-language-server`) where it lies elsewhere.
Nothing is installed here.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

CNN = Path(__file__).resolve().parents[1] / "specs" / "cnn"
NODE = shutil.which("node")
SERVER = os.environ.get("FLAXSPEC_YAML_SERVER") or shutil.which("yaml-language-server")
SETTINGS = {"validate": True, "completion": True, "hover": True, "schemaStore": {"enable": False}}

pytestmark = pytest.mark.skipif(
    not (NODE and SERVER), reason="needs node and yaml-language-server, on the path or named by "
                                  "FLAXSPEC_YAML_SERVER")


class Editor:
    """A client of the language server protocol, over the server's standard streams."""

    def __init__(self) -> None:
        assert NODE and SERVER
        self.process = subprocess.Popen(
            [NODE, os.path.realpath(SERVER), "--stdio"], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        self.told: dict[str, list[dict[str, Any]]] = {}
        self.count = 0
        self.ask("initialize", {"processId": None, "rootUri": None, "capabilities": {
            "workspace": {"configuration": True}, "textDocument": {"publishDiagnostics": {}}}})
        self.send("initialized", {})

    def send(self, method: str, params: Any, **more: Any) -> None:
        self._write({"jsonrpc": "2.0", "method": method, "params": params, **more})

    def ask(self, method: str, params: Any) -> Any:
        """The answer to a request."""
        self.count += 1
        self.send(method, params, id=self.count)
        while True:
            message = self._read()
            if message.get("id") == self.count and "method" not in message:
                return message["result"]
            self._handle(message)

    def problems(self, uri: str) -> list[dict[str, Any]]:
        """What the server says is wrong with a document, once it has looked."""
        while uri not in self.told:
            self._handle(self._read())
        return self.told[uri]

    def open(self, name: str, text: str) -> str:
        """Show the server a text as if it stood beside the zoo's files; its address."""
        uri = (CNN / name).as_uri()
        self.send("textDocument/didOpen", {"textDocument": {
            "uri": uri, "languageId": "yaml", "version": 1, "text": text}})
        return uri

    def completions(self, uri: str, text: str, before: str) -> dict[str, str]:
        """What is offered behind a piece of the text: labels with their descriptions."""
        at = text.index(before) + len(before)
        line = text.count("\n", 0, at)
        found = self.ask("textDocument/completion", {
            "textDocument": {"uri": uri},
            "position": {"line": line, "character": at - text.rfind("\n", 0, at) - 1}})
        return {item["label"]: str(item.get("documentation", "")) for item in found["items"]}

    def _handle(self, message: dict[str, Any]) -> None:
        match message.get("method"):
            case "workspace/configuration":
                self._write({"jsonrpc": "2.0", "id": message["id"], "result": [
                    SETTINGS if item.get("section") == "yaml" else None
                    for item in message["params"]["items"]]})
            case "client/registerCapability":
                self._write({"jsonrpc": "2.0", "id": message["id"], "result": None})
            case "textDocument/publishDiagnostics":
                params = message["params"]
                self.told[params["uri"]] = params["diagnostics"]

    def _write(self, message: dict[str, Any]) -> None:
        assert self.process.stdin
        body = json.dumps(message).encode()
        self.process.stdin.write(b"Content-Length: %d\r\n\r\n" % len(body) + body)
        self.process.stdin.flush()

    def _read(self) -> dict[str, Any]:
        assert self.process.stdout
        length = 0
        while line := self.process.stdout.readline().strip():
            if line.lower().startswith(b"content-length:"):
                length = int(line.split(b":")[1])
        assert length, "the server has ended"
        return json.loads(self.process.stdout.read(length))


@pytest.fixture(scope="module")
def editor() -> Iterator[Editor]:
    editor = Editor()
    yield editor
    editor.process.kill()
    editor.process.wait()


def text_of(name: str, old: str = "", new: str = "") -> str:
    text = (CNN / name).read_text(encoding="utf-8")
    assert old in text
    return text.replace(old, new, 1)


@pytest.mark.parametrize("name", ["vgg.yaml", "resnet.yaml"])
def test_a_spec_in_order_has_no_problems(editor: Editor, name: str) -> None:
    assert editor.problems(editor.open(name, text_of(name))) == []


def test_a_wrong_field_is_told_at_its_place(editor: Editor) -> None:
    text = text_of("vgg.yaml", "kernel: 3}", "kernal: 3}")
    (problem,) = editor.problems(editor.open("wrong.yaml", text))
    assert "kernal" in problem["message"]
    assert problem["range"]["start"]["line"] == text[: text.index("kernal")].count("\n")


def test_operators_and_their_fields_are_offered(editor: Editor) -> None:
    text = text_of("vgg.yaml", "  - flatten\n",
                   "  - flatten\n  - conv: {padding: 1, k}\n  - drop\n")
    uri = editor.open("new.yaml", text)
    fields = editor.completions(uri, text, "- conv: {padding: 1, k")
    assert fields["kernel"].startswith("size of the window")
    assert {"filters", "stride"} <= set(fields) and "padding" not in fields
    assert {"dropout", "dense", "repeat"} <= set(editor.completions(uri, text, "  - drop"))


def test_a_recipe_is_told_and_completed_too(editor: Editor) -> None:
    text = text_of("vgg.yaml") + "\ntask: clasification\ntrain:\n  epochs: 3\n  bat\n"
    uri = editor.open("recipe.yaml", text)
    offered = editor.completions(uri, text, "\n  bat")
    assert offered["batch_size"] and "epochs" not in offered
    lines = [p["range"]["start"]["line"] for p in editor.problems(uri)]
    assert text[: text.index("task:")].count("\n") in lines


def test_sections_are_offered(editor: Editor) -> None:
    text = text_of("vgg.yaml") + "\nou"
    offered = editor.completions(editor.open("sections.yaml", text), text, "\nou")
    assert "outputs" in offered and "train" in offered and "model" not in offered
