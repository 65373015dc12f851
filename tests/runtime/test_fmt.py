"""`flaxspec fmt`, as a user meets it."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

MESSY = "flaxspec: 1\nmodel:\n- conv: {filters: =max(8, 4),kernel: 3}  # wide\n-   relu\n"
NEAT = 'flaxspec: 1\nmodel:\n  - conv: {filters: "=max(8, 4)", kernel: 3}  # wide\n  - relu\n'
BROKEN = "flaxspec: 1\nmodel:\n  - conv:\n      filters:64\n"

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def fmt(flaxspec: Run) -> Run:
    """Run `flaxspec fmt` in an empty folder: (status, standard output, standard error)."""
    return partial(flaxspec, "fmt")


def test_a_file_is_written_in_place_with_its_mode(fmt: Run) -> None:
    path = Path("a.yaml")
    path.write_text(MESSY)
    path.chmod(0o640)
    assert fmt("a.yaml") == (0, "formatted a.yaml\n1 file formatted\n", "")
    assert path.read_text() == NEAT and path.stat().st_mode & 0o777 == 0o640
    written = path.stat().st_mtime_ns
    assert fmt("a.yaml") == (0, "1 file in canonical style already\n", "")
    assert path.stat().st_mtime_ns == written and os.listdir() == ["a.yaml"]


def test_a_link_stays_a_link(fmt: Run) -> None:
    Path("folder").mkdir()
    Path("folder/a.yaml").write_text(MESSY)
    Path("link.yaml").symlink_to("folder/a.yaml")
    assert fmt("link.yaml")[0] == 0
    assert Path("link.yaml").is_symlink() and Path("folder/a.yaml").read_text() == NEAT


@pytest.mark.parametrize("option, shown", [
    ("--check", "would change a.yaml\n1 file would change\n"),
    ("--diff", "--- a.yaml\n+++ a.yaml\n@@ -1,4 +1,4 @@\n flaxspec: 1\n model:\n"
               "-- conv: {filters: =max(8, 4),kernel: 3}  # wide\n--   relu\n"
               '+  - conv: {filters: "=max(8, 4)", kernel: 3}  # wide\n+  - relu\n')])
def test_what_would_change_is_told_and_not_written(fmt: Run, option: str, shown: str) -> None:
    Path("a.yaml").write_text(MESSY)
    assert fmt(option, "a.yaml") == (1, shown, "")
    assert Path("a.yaml").read_text() == MESSY
    Path("a.yaml").write_text(NEAT)
    assert fmt(option, "a.yaml")[0] == 0


def test_standard_input_goes_to_standard_output(fmt: Run) -> None:
    assert fmt("-", stdin=MESSY.encode()) == (0, NEAT, "")
    assert fmt("-", stdin=b"\xff")[0] == 2


def test_of_a_folder_the_specs_are_meant(fmt: Run) -> None:
    for name in ("a.yaml", "deep/b.yml", ".hidden/c.yaml", "compose.yaml", "notes.txt"):
        path = Path(name)
        path.parent.mkdir(exist_ok=True)
        path.write_text(MESSY if name != "compose.yaml" else "services:\n- a\n")
    status, out, _ = fmt()
    assert (status, out) == (0, "formatted a.yaml\nformatted deep/b.yml\n2 files formatted\n")
    assert Path("compose.yaml").read_text() == "services:\n- a\n"
    assert Path(".hidden/c.yaml").read_text() == MESSY


def test_a_broken_spec_is_told_and_left_and_the_others_are_done(fmt: Run) -> None:
    Path("broken.yaml").write_text(BROKEN)
    Path("good.yaml").write_text(MESSY)
    status, out, err = fmt("broken.yaml", "good.yaml", "missing.yaml")
    assert status == 2 and out == "formatted good.yaml\n1 file formatted, 2 not in order\n"
    assert "error[F0119]: a space is missing after the colon" in err and "F0102" in err
    assert Path("broken.yaml").read_text() == BROKEN and Path("good.yaml").read_text() == NEAT


def test_line_breaks_of_other_systems_become_ours(fmt: Run) -> None:
    Path("a.yaml").write_bytes(b"\xef\xbb\xbf" + NEAT.replace("\n", "\r\n").encode())
    assert fmt("a.yaml")[0] == 0
    assert Path("a.yaml").read_bytes() == NEAT.encode()


def test_what_cannot_be_written_stays(fmt: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("a.yaml").write_text(MESSY)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    status, _, err = fmt("a.yaml")
    assert status == 2 and "F0841" in err and "No space left on device" in err
    assert Path("a.yaml").read_text() == MESSY and os.listdir() == ["a.yaml"]
