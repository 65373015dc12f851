"""Every spec, command and program on a page does what the page says.

A page is read from the top. `Error F0203:` above a spec says that checking it gives this error, and
no other. A comment above a block says what else is special about it:

    <!-- with inputs: {…} -->        a section that the fragment needs besides
    <!-- file name.yaml -->          what it is called, for the blocks that follow
    <!-- file name.yaml, part -->    likewise, but it is not complete: it is not checked

A spec that does not begin with `flaxspec: 1` is a fragment: layers, or some sections. Blocks of
text that begin with `$` are compared with what the command prints; GOLDEN=write writes them anew.
Blocks of Python and of `sh` are run, each line of the latter a command, unless a comment says
`not run`.
"""

from __future__ import annotations

import os
import re
import shlex
import sys
from pathlib import Path

import pytest

from runtime.cli import main as verbs
from runtime.cli import train as training

ROOT = Path(__file__).resolve().parents[1]
PAGES = ["README.md", "docs/language.md", "docs/tutorial.md", "docs/sharing.md"]
INPUTS = "inputs: {image: {shape: [32, 32, 16]}}"
BLOCK = re.compile(r"(?:<!-- ([^\n]*) -->\n|Error (F\d+):\n\n)?"
                   r"```(yaml|text|python|sh)\n(.*?)```\n", re.S)


class Page:
    """A page, and the folder in which its files and commands live."""

    def __init__(self, name: str, capsys: pytest.CaptureFixture[str]):
        self.path, self.capsys = ROOT / name, capsys
        self.names: dict[str, object] = {"__name__": "page"}

    def run(self, *arguments: str) -> tuple[int, str]:
        """Run a command; its exit status, and what it printed, errors first."""
        mains = {"flaxspec": verbs.main, "compile-and-train": training.main}
        before, sys.argv = sys.argv, list(arguments)
        try:
            with pytest.raises(SystemExit) as stop:
                mains[arguments[0]]()
        finally:
            sys.argv = before
        captured = self.capsys.readouterr()
        assert isinstance(stop.value.code, int)
        return stop.value.code, captured.err + captured.out

    def spec(self, text: str, directive: str, code: str) -> None:
        kind, _, rest = directive.partition(" ")
        name, _, part = (rest if kind == "file" else "block.yaml").partition(", ")
        Path(name).write_text(whole(text, rest if kind == "with" else ""), encoding="utf-8")
        if part:
            return
        status, told = self.run("flaxspec", "check", "--facts", name)
        if code:
            found = re.findall(r"^error\[(F\d+)\]", told, re.M)
            assert (status, found) == (2, [code]), f"{text}\n{told}"
        else:
            assert status == 0 and "warning[" not in told, f"{text}\n{told}"

    def output(self, text: str) -> str:
        """The block as the command prints it; where it ends with …, the rest is cut."""
        command, *shown = text.splitlines()
        lines = self.run(*shlex.split(command.removeprefix("$ ")))[1].splitlines()
        if shown and shown[-1] == "…":
            lines = [*lines[:len(shown) - 1], "…"]
        return "\n".join([command, *lines]).rstrip() + "\n"


def whole(text: str, more: str) -> str:
    """A fragment as a spec: what it lacks is added behind it, so that lines keep their places."""
    if text.startswith("flaxspec:"):
        return text
    if text.startswith("-"):
        text = "model:\n" + text
    known = re.findall(r"^(\w+):", text, re.M)
    known += ["inputs", "model"] if "extends" in known else []
    sections = {"flaxspec": "flaxspec: 1", "name": "name: block",
                "inputs": more if more.startswith("inputs:") else INPUTS, "model": "model: [relu]"}
    return text + "".join(line + "\n" for key, line in sections.items() if key not in known)


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_true(
    name: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FLAXSPEC_CACHE", str(tmp_path / "cache"))
    page = Page(name, capsys)

    def checked(block: re.Match[str]) -> str:
        directive, kind, text = block[1] or "", block[3], block[4]
        if kind == "yaml":
            page.spec(text, directive, block[2] or "")
        elif kind == "sh":
            for line in text.splitlines() if not directive.startswith("not run") else ():
                assert page.run(*shlex.split(line), "--quiet") == (0, "")
        elif kind == "python":
            exec(compile(text, f"{name}: python", "exec"), page.names)
        elif text.startswith("$"):
            return block[0].replace(text, page.output(text))
        return block[0]

    before = page.path.read_text(encoding="utf-8")
    after = BLOCK.sub(checked, before)
    if os.environ.get("GOLDEN") == "write":
        page.path.write_text(after, encoding="utf-8")
    assert page.path.read_text(encoding="utf-8") == after


@pytest.mark.parametrize("name", sorted(
    {path.relative_to(ROOT).as_posix() for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")]}))
def test_links_lead_somewhere(name: str) -> None:
    folder, text = (ROOT / name).parent, (ROOT / name).read_text(encoding="utf-8")
    for link in re.findall(r"\]\(((?!https?:)[^)]+)\)", text):
        path, _, anchor = link.partition("#")
        target = (folder / path).resolve() if path else ROOT / name
        assert target.exists(), link
        if anchor:
            heads = re.findall(r"^#+ (.*)$", target.read_text(encoding="utf-8"), re.M)
            anchors = {re.sub(r"[^\w -]", "", h.lower()).replace(" ", "-") for h in heads}
            assert anchor in anchors, link
