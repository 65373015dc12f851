"""Strangers' bundles: good ones are opened, hostile ones refused, and nothing is left of those."""

from __future__ import annotations

import json
import os
import struct
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from bundles import everything_under, files, manifest, unpacked, weights, zipped

from compiler.diagnostics import SpecError
from runtime.share import bundle
from runtime.share.manifest import MAX_MANIFEST, path_problem
from runtime.share.opening import opened

Build = Callable[[Path], Path]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of our own."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("FLAXSPEC_CACHE", str(folder))
    return folder


def code_of(path: Path, fragment: str = "") -> str:
    """The code that opening a bundle ends with."""
    with pytest.raises(SpecError) as stop:
        opened(f"{path}{fragment}")
    (complaint,) = stop.value.diagnostics
    assert complaint.help or complaint.notes
    return complaint.code


# --------------------------------------------------------------------------- good ones


def test_a_good_zip_lies_in_the_cache_under_its_hash(tmp_path: Path, cache: Path) -> None:
    found = opened(str(zipped(tmp_path / "good.zip", files())))
    assert found.folder == cache / "bundles" / "sha256" / found.sha256
    assert everything_under(found.folder) == {"manifest.json", *files()}
    assert all((found.folder / name).read_bytes() == data for name, data in files().items())


def test_a_zip_and_a_folder_of_the_same_files_have_one_hash(tmp_path: Path) -> None:
    a = opened(str(zipped(tmp_path / "a.zip", files())))
    b = opened(str(unpacked(tmp_path / "b", files())))
    assert a.sha256 == b.sha256 and b.folder == tmp_path / "b"


def test_a_file_in_a_folder_of_the_bundle_is_found(tmp_path: Path) -> None:
    content = files() | {"used/blocks.yaml": b"flaxspec: 1\nname: b\n"}
    assert (opened(str(zipped(tmp_path / "x.zip", content))).folder / "used/blocks.yaml").is_file()


def test_a_damaged_copy_in_the_cache_is_made_anew(tmp_path: Path) -> None:
    path = zipped(tmp_path / "good.zip", files())
    found = opened(str(path))
    (found.folder / "README.md").write_text("another")
    assert (opened(str(path)).folder / "README.md").read_text() == "# tiny\n"


def test_a_pin_that_fits_opens_and_another_is_refused(tmp_path: Path) -> None:
    path = zipped(tmp_path / "good.zip", files())
    sha256 = opened(str(path)).sha256
    assert opened(f"{path}#sha256={sha256}").sha256 == sha256
    assert code_of(path, f"#sha256={'0' * 64}") == "F0857"


# ------------------------------------------------------------------------ hostile ones


def raw_zip(path: Path, names: list[str], content: Mapping[str, bytes] | None = None,
            **info: Any) -> Path:
    """A good bundle with further entries, whatever they are called."""
    good = files()
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("manifest.json", manifest(good))
        for name, data in good.items():
            archive.writestr(name, data)
        for name in names:
            entry = zipfile.ZipInfo("x")
            entry.filename = name
            for key, value in info.items():
                setattr(entry, key, value)
            archive.writestr(entry, (content or {}).get(name, b"evil"))
    return path


def listing(*names: str, **about: Any) -> Build:
    """A zip whose manifest lists further files, which are there."""
    content = files() | dict.fromkeys(names, b"evil")
    return lambda folder: raw_listing(folder / "x.zip", content, about)


def raw_listing(path: Path, content: Mapping[str, bytes], about: Mapping[str, Any]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("manifest.json", manifest(content, **about))
        for name, data in content.items():
            entry = zipfile.ZipInfo("x")
            entry.filename = name
            archive.writestr(entry, data)
    return path


def with_manifest(change: Callable[[dict[str, Any]], Any]) -> Build:
    """A zip whose manifest was changed afterwards."""
    def build(folder: Path) -> Path:
        told = json.loads(manifest(files()))
        change(told)
        text = (json.dumps(told, indent=2, ensure_ascii=False) + "\n").encode("utf-8", "replace")
        return zipped(folder / "x.zip", files(), text)
    return build


def text_of_manifest(text: bytes) -> Build:
    return lambda folder: zipped(folder / "x.zip", files(), text)


def changed(**changes: bytes | str | None) -> Build:
    """A bundle whose files differ from those of a good manifest."""
    return lambda folder: zipped(folder / "x.zip", files(**changes), manifest(files()))


def spec(text: str) -> Build:
    """A bundle that is in order, with another spec."""
    good = files()["spec.yaml"].decode()
    return lambda folder: zipped(folder / "x.zip", files(spec__yaml=good + text))


def link_in_zip(folder: Path) -> Path:
    return raw_zip(folder / "x.zip", ["notes.txt"], {"notes.txt": b"/etc/passwd"},
                   external_attr=0o120777 << 16)


def device_in_zip(folder: Path) -> Path:
    return raw_zip(folder / "x.zip", ["notes.txt"], external_attr=0o020666 << 16)


def compressed(folder: Path) -> Path:
    good = files(README__md=bytes(10_000_000))
    with zipfile.ZipFile(folder / "x.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in {"manifest.json": manifest(good), **good}.items():
            archive.writestr(name, data)
    return folder / "x.zip"


def overlapping(folder: Path) -> Path:
    """Many entries that stand for the same bytes, as in a bomb without compression."""
    big = {f"n{i}.md": bytes(100_000) for i in range(20)}
    path = zipped(folder / "x.zip", files() | {"n0.md": big["n0.md"]})
    with zipfile.ZipFile(path, "a") as archive:
        first = archive.getinfo("n0.md")
        for name in list(big)[1:]:
            copy = zipfile.ZipInfo(name)
            copy.header_offset, copy.CRC = first.header_offset, first.CRC
            copy.file_size = copy.compress_size = first.file_size
            archive.filelist.append(copy)
            archive.NameToInfo[name] = copy
        archive._didModify = True  # type: ignore[attr-defined]
    return path


def many(folder: Path) -> Path:
    with zipfile.ZipFile(folder / "x.zip", "w") as archive:
        for i in range(2_000):
            archive.writestr(f"n{i}.txt", b"")
    return folder / "x.zip"


def long_list(folder: Path) -> Path:
    """An end that tells of a list of files too long to be read."""
    path = zipped(folder / "x.zip", files())
    data = bytearray(path.read_bytes())
    data[-10:-6] = struct.pack("<I", 2**31)
    path.write_bytes(data)
    return path


def encrypted(folder: Path) -> Path:
    path = zipped(folder / "x.zip", files())
    data = bytearray(path.read_bytes())
    at = data.index(b"PK\x01\x02")
    data[at + 8] |= 1
    path.write_bytes(data)
    return path


def cut(folder: Path) -> Path:
    path = zipped(folder / "x.zip", files())
    path.write_bytes(path.read_bytes()[:-40])
    return path


def flipped(folder: Path) -> Path:
    path = zipped(folder / "x.zip", files())
    data = bytearray(path.read_bytes())
    data[data.index(b"# tiny")] ^= 1
    path.write_bytes(data)
    return path


def folder_with_link(folder: Path) -> Path:
    path = unpacked(folder / "x", files())
    (path / "README.md").unlink()
    (path / "README.md").symlink_to("/etc/hostname")
    return path


def folder_with_linked_folder(folder: Path) -> Path:
    path = unpacked(folder / "x", files() | {"used/a.yaml": b"flaxspec: 1\nname: a\n"})
    (path / "used").rename(folder / "elsewhere")
    (path / "used").symlink_to(folder / "elsewhere")
    return path


def folder_with_pipe(folder: Path) -> Path:
    path = unpacked(folder / "x", files())
    (path / "README.md").unlink()
    os.mkfifo(path / "README.md")
    return path


def folder_with_more(folder: Path) -> Path:
    path = unpacked(folder / "x", files())
    (path / "more.yaml").write_text("flaxspec: 1")
    return path


def another_zip(folder: Path) -> Path:
    with zipfile.ZipFile(folder / "x.zip", "w") as archive:
        archive.writestr("readme.txt", "hello")
    return folder / "x.zip"


def no_zip(folder: Path) -> Path:
    (folder / "x.zip").write_bytes(b"<!doctype html><html>not found</html>")
    return folder / "x.zip"


PICKLE = b"\x80\x04\x95\x1e\x00\x00\x00\x00\x00\x00\x00\x8c\x05posix\x8c\x06system\x93."

HOSTILE: dict[str, tuple[Build, str]] = {
    # where its files would lie
    "a path upwards": (listing("../evil.txt"), "F0854"),
    "a path upwards inside": (listing("used/../../evil.txt"), "F0854"),
    "an absolute path": (listing("/tmp/evil.txt"), "F0854"),
    "a path of Windows": (listing("C:\\evil.txt"), "F0854"),
    "a path with a drive": (listing("C:evil.txt"), "F0854"),
    "backslashes": (listing("..\\evil.txt"), "F0854"),
    "a dot": (listing("./evil.txt"), "F0854"),
    "a hidden file": (listing(".bashrc.txt"), "F0854"),
    "an empty part": (listing("a//b.txt"), "F0854"),
    "a long path": (listing("a" * 250 + ".txt"), "F0854"),
    "a deep path": (listing("a/" * 9 + "b.txt"), "F0854"),
    "a device": (listing("con.txt"), "F0854"),
    "another device": (listing("used/NUL.tar.json"), "F0854"),
    "a stream of Windows": (listing("README.md:evil.txt"), "F0854"),
    "a name with a control character": (listing("a\x1b[2J.txt"), "F0854"),
    "a dot at the end": (listing("a.txt."), "F0854"),
    "capital letters": (listing("readme.md"), "F0854"),
    "letters that are folded": (listing("straße.txt", "strasse.txt"), "F0854"),
    "a folder in capital letters": (listing("used/a.txt", "Used/b.txt"), "F0854"),
    "an accent apart": (listing("e\u0301.txt"), "F0854"),
    "a file that is a folder": (listing("a.txt", "a.txt/b.txt"), "F0854"),
    "its own manifest": (listing("Manifest.json"), "F0854"),
    # what its files are
    "a pickle": (listing("model.pkl"), "F0854"),
    "a program": (listing("setup.py"), "F0854"),
    "a pickle called safetensors": (
        lambda folder: zipped(folder / "x.zip", files(weights__safetensors=PICKLE)), "F0854"),
    "weights with a header larger than themselves": (
        lambda folder: zipped(folder / "x.zip", files(
            weights__safetensors=struct.pack("<Q", 2**60) + b"{" + weights())), "F0854"),
    "a link": (link_in_zip, "F0854"),
    "a device file": (device_in_zip, "F0854"),
    "a link in a folder": (folder_with_link, "F0854"),
    "a linked folder": (folder_with_linked_folder, "F0854"),
    "a pipe in a folder": (folder_with_pipe, "F0854"),
    "an encrypted file": (encrypted, "F0854"),
    # how much there is
    "a compressed file": (compressed, "F0856"),
    "files over one another": (overlapping, "F0856"),
    "thousands of files": (many, "F0856"),
    "a long list of files": (long_list, "F0856"),
    "a long manifest": (text_of_manifest(b" " * (MAX_MANIFEST + 1)), "F0856"),
    "a list of thousands": (with_manifest(lambda told: told["files"].update(
        {f"n{i}.md": {"sha256": "0" * 64, "bytes": 0} for i in range(1500)})), "F0856"),
    "a text of gigabytes": (with_manifest(
        lambda told: told["files"]["README.md"].update(bytes=2**40)), "F0856"),
    "weights of terabytes": (with_manifest(
        lambda told: told["files"]["weights.safetensors"].update(bytes=2**50)), "F0856"),
    # whether it is what it says
    "another file": (changed(README__md="# else\n"), "F0855"),
    "a longer file": (changed(README__md="# tiny, and more\n"), "F0855"),
    "a flipped bit": (flipped, "F0855"),
    "a file that is missing": (changed(README__md=None), "F0855"),
    "a file that is not listed": (
        lambda folder: raw_zip(folder / "x.zip", ["more.txt"]), "F0855"),
    "a file that is not listed, in a folder": (folder_with_more, "F0855"),
    "a name twice": (lambda folder: raw_zip(folder / "x.zip", ["README.md"]), "F0854"),
    "no spec": (lambda folder: zipped(folder / "x.zip", files(spec__yaml=None)), "F0855"),
    "a pointer of LFS": (lambda folder: unpacked(folder / "x", files() | {
        "weights.safetensors": b"version https://git-lfs.github.com/spec/v1\noid sha256:00"},
        manifest(files())), "F0855"),
    # what its manifest is
    "no JSON": (text_of_manifest(b"{"), "F0853"),
    "JSON thousands deep": (text_of_manifest(b"[" * 100_000), "F0853"),
    "a number of a million digits": (text_of_manifest(b"1" * 1_000_000), "F0853"),
    "no UTF-8": (text_of_manifest(b'{"format": "\xff"}'), "F0853"),
    "a key twice": (text_of_manifest(b'{"format": "flaxspec-bundle", "format": "x"}'), "F0853"),
    "a number that is none": (text_of_manifest(b'{"format": NaN}'), "F0853"),
    "another program's": (text_of_manifest(b'{"manifest_version": 3}'), "F0852"),
    "a list": (text_of_manifest(b"[]"), "F0852"),
    "a later form": (with_manifest(lambda told: told.update(version=2)), "F0863"),
    "a name over several lines": (with_manifest(
        lambda told: told.update(name="a\n\x1b[2J")), "F0853"),
    "a size below nothing": (with_manifest(
        lambda told: told["files"]["README.md"].update(bytes=-1)), "F0853"),
    "a size that is true": (with_manifest(
        lambda told: told["files"]["README.md"].update(bytes=True)), "F0853"),
    "a hash that is none": (with_manifest(
        lambda told: told["files"]["README.md"].update(sha256="0")), "F0853"),
    "no files": (with_manifest(lambda told: told.pop("files")), "F0853"),
    "half a surrogate pair": (text_of_manifest(
        manifest(files()).replace(b'"tiny"', b'"\\ud800"')), "F0853"),
    "other spaces": (text_of_manifest(manifest(files()).replace(b"  ", b"   ")), "F0853"),
    "no manifest": (another_zip, "F0852"),
    "a page of a server": (no_zip, "F0852"),
    "half a zip": (cut, "F0852"),
    # what its spec does
    "data of this machine": (spec("search: {x: /etc/passwd}\n"), "F0858"),
    "data above the bundle": (spec("use: {x: ../../secret.yaml}\n"), "F0858"),
    "data at home": (spec("let: {x: ~/.ssh/id_rsa}\n"), "F0858"),
    "data on a drive": (spec("let: {x: 'C:\\Users'}\n"), "F0858"),
    "a run that is told to others": (
        lambda folder: zipped(folder / "x.zip", files(spec__yaml=files()[
            "spec.yaml"].decode().replace("epochs: 1", "log: [{wandb: {entity: me}}], epochs: 1"))),
        "F0858"),
    "another bundle": (spec("extends: {bundle: 'https://example.org/x.zip'}\n"), "F0858"),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_a_hostile_bundle_is_refused_and_nothing_of_it_is_kept(
    what: str, tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    build, code = HOSTILE[what]
    workplace = tmp_path / "work"
    workplace.mkdir()
    monkeypatch.chdir(workplace)
    path = build(workplace)
    before = everything_under(tmp_path) - {"cache"}
    assert code_of(path) == code
    kept = {p for p in everything_under(tmp_path) - before if not (tmp_path / p).is_dir()}
    assert not kept, "files were left"


def test_more_bytes_than_the_user_allows_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(bundle.LIMIT_NAME, "1000")
    assert code_of(zipped(tmp_path / "x.zip", files())) == "F0856"


@pytest.mark.parametrize("path", ["a.md", "used/größe.yaml", "data/tokenizer-1.0+b.json"])
def test_ordinary_paths_are_taken(path: str) -> None:
    assert path_problem(path) == ""
