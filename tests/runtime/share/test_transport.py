"""Bundles on a server, in git repositories and on the hub, each of them on this machine.

The server is a real one, and so is git, over its file protocol and over http by its own
`git http-backend`. The hub is a stand-in: a server that answers the requests that the library
`huggingface_hub` makes, as far as a bundle needs them.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from bundles import Server, files, manifest, serving, unpacked, zipped

from compiler.diagnostics import SpecError
from runtime.share import archive, bundle, git, web
from runtime.share.bundle import in_place
from runtime.share.manifest import digest
from runtime.share.opening import opened
from runtime.share.pack import Packed, packed
from runtime.share.pushing import pushed
from runtime.share.reference import parse_reference

SHA = digest(manifest(files()))
QUICK = (0.0, 0.0)


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache and a git of our own, and no waiting."""
    monkeypatch.setenv("FLAXSPEC_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("FLAXSPEC_OFFLINE", raising=False)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", os.devnull)
    for who in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{who}_NAME", "Somebody")
        monkeypatch.setenv(f"GIT_{who}_EMAIL", "somebody@example.org")
    monkeypatch.setattr(web.fetched, "__defaults__", (QUICK,))


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as state:
        yield state


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return unpacked(tmp_path / "tiny", files())


@pytest.fixture
def found(folder: Path) -> Packed:
    made = in_place(folder)
    return Packed(made.manifest, {name: folder / name for name in made.manifest.files}, {})


def zip_of(tmp_path: Path, **changes: bytes | str | None) -> bytes:
    return zipped(tmp_path / "made.zip", files(**changes)).read_bytes()


def code_of(reference: str) -> str:
    with pytest.raises(SpecError) as stop:
        opened(reference)
    return stop.value.diagnostics[0].code


# -------------------------------------------------------------------------- a server


def test_a_bundle_on_a_server_is_fetched_once_and_asked_for_again(
    server: Server, tmp_path: Path,
) -> None:
    server.files["/tiny.zip"] = zip_of(tmp_path)
    assert opened(f"{server.address}/tiny.zip").sha256 == SHA
    assert opened(f"{server.address}/tiny.zip").sha256 == SHA  # the server says: not modified
    server.files["/tiny.zip"] = zip_of(tmp_path, README__md="# newer\n")
    assert opened(f"{server.address}/tiny.zip").sha256 != SHA


def test_a_pinned_bundle_that_is_here_is_asked_for_by_nobody(
    server: Server, tmp_path: Path,
) -> None:
    server.files["/tiny.zip"] = zip_of(tmp_path)
    opened(f"{server.address}/tiny.zip")
    server.asked.clear()
    assert opened(f"{server.address}/moved.zip#sha256={SHA}").sha256 == SHA
    assert not server.asked


def test_a_pinned_bundle_that_was_replaced_is_refused(server: Server, tmp_path: Path) -> None:
    server.files["/tiny.zip"] = zip_of(tmp_path, README__md="# another\n")
    assert code_of(f"{server.address}/tiny.zip#sha256={SHA}") == "F0857"
    opened(f"{server.address}/tiny.zip")
    assert code_of(f"{server.address}/tiny.zip#sha256={SHA}") == "F0857"  # not modified, either


def test_a_broken_download_is_gone_on_with(server: Server, tmp_path: Path) -> None:
    server.files["/tiny.zip"] = content = zip_of(tmp_path)
    server.cut = [1000, 1500]
    assert opened(f"{server.address}/tiny.zip").sha256 == SHA
    assert [asked[2] for asked in server.asked] == ["", "bytes=1000-", "bytes=1500-"]
    assert len(content) > 1500


def test_a_file_that_changed_meanwhile_is_begun_anew(server: Server, tmp_path: Path) -> None:
    server.files["/tiny.zip"] = zip_of(tmp_path, README__md="# older\n")
    server.cut = [1000, 1000, 1000]
    assert code_of(f"{server.address}/tiny.zip") == "F0851"
    server.files["/tiny.zip"] = zip_of(tmp_path)
    assert opened(f"{server.address}/tiny.zip").sha256 == SHA


def test_while_a_server_is_away_the_last_copy_is_used_with_a_warning(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str],
) -> None:
    server.files["/tiny.zip"] = zip_of(tmp_path)
    opened(f"{server.address}/tiny.zip")
    server.status = [503, 503, 503]
    assert opened(f"{server.address}/tiny.zip").sha256 == SHA
    assert "warning[F0859]" in capsys.readouterr().err
    assert code_of(f"{server.address}/gone.zip") == "F0851"


def test_offline_nobody_is_asked(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    server.files["/tiny.zip"] = zip_of(tmp_path)
    opened(f"{server.address}/tiny.zip")
    server.asked.clear()
    monkeypatch.setenv("FLAXSPEC_OFFLINE", "1")
    assert opened(f"{server.address}/tiny.zip").sha256 == SHA
    assert code_of(f"{server.address}/other.zip") == "F0851"
    assert not server.asked


def test_a_download_without_end_is_cut_off(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(bundle.LIMIT_NAME, "100000")
    server.endless.add("/tiny.zip")
    assert code_of(f"{server.address}/tiny.zip") == "F0856"


@pytest.mark.parametrize("target", ["file:///etc/passwd", "ftp://127.0.0.1/x", "data:,x"])
def test_a_server_does_not_lead_elsewhere_than_to_the_web(server: Server, target: str) -> None:
    server.redirects["/tiny.zip"] = target
    assert code_of(f"{server.address}/tiny.zip") == "F0851"


def test_a_redirect_on_the_web_is_followed(server: Server, tmp_path: Path) -> None:
    server.files["/real.zip"] = zip_of(tmp_path)
    server.redirects["/tiny.zip"] = f"{server.address}/real.zip"
    assert opened(f"{server.address}/tiny.zip").sha256 == SHA


def test_what_is_no_bundle_is_told_by_its_address_and_fetched_anew(
    server: Server, tmp_path: Path,
) -> None:
    server.files["/tiny.zip"] = b"<!doctype html>"
    with pytest.raises(SpecError) as stop:
        opened(f"{server.address}/tiny.zip")
    assert f"`{server.address}/tiny.zip` is no bundle" in stop.value.diagnostics[0].headline
    server.files["/tiny.zip"] = zip_of(tmp_path)
    assert opened(f"{server.address}/tiny.zip").sha256 == SHA


def test_a_bundle_is_put_on_a_server_and_fetched_by_what_push_prints(
    server: Server, found: Packed,
) -> None:
    reference = pushed(found, f"{server.address}/models/tiny.zip")
    assert reference == f"{server.address}/models/tiny.zip#sha256={SHA}"
    assert opened(reference).sha256 == SHA


def test_a_server_that_takes_no_files_is_told_with_a_remedy(
    server: Server, found: Packed,
) -> None:
    server.takes = False
    with pytest.raises(SpecError) as stop:
        pushed(found, f"{server.address}/tiny.zip")
    complaint = stop.value.diagnostics[0]
    assert complaint.code == "F0860" and "405" in complaint.headline
    assert "takes no files by PUT" in complaint.help


# ---------------------------------------------------------------------- a folder, a file


def test_what_is_pushed_to_a_folder_is_pulled_by_what_is_printed(
    found: Packed, tmp_path: Path,
) -> None:
    reference = pushed(found, str(tmp_path / "shelf"))
    assert reference == f"{tmp_path / 'shelf' / 'tiny.flaxspec.zip'}#sha256={SHA}"
    assert opened(reference).sha256 == SHA
    assert pushed(found, str(tmp_path / "shelf")) == reference  # the very same is there


def test_another_file_is_not_overwritten(found: Packed, tmp_path: Path) -> None:
    (tmp_path / "tiny.zip").write_text("precious")
    with pytest.raises(SpecError) as stop:
        pushed(found, str(tmp_path / "tiny.zip"))
    assert stop.value.diagnostics[0].code == "F0807"
    assert (tmp_path / "tiny.zip").read_text() == "precious"


def test_the_file_of_an_unpacked_bundle_is_the_file_that_it_came_in(
    folder: Path, tmp_path: Path,
) -> None:
    with packed(folder) as found:
        for name in ("a.zip", "b.zip"):
            archive.write_zip(tmp_path / name, found.manifest, found.files)
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()
    with packed(opened(str(tmp_path / "a.zip")).folder) as again:
        archive.write_zip(tmp_path / "c.zip", again.manifest, again.files)
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "c.zip").read_bytes()


# -------------------------------------------------------------------------------- git


def run_git(*arguments: str | Path) -> str:
    return subprocess.run(["git", *map(str, arguments)], check=True, capture_output=True,
                          text=True).stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    path = tmp_path / "models.git"
    run_git("init", "--quiet", "--bare", "--initial-branch=main", path)
    return path


def test_a_bundle_goes_through_a_repository_at_a_branch_a_tag_and_a_commit(
    repository: Path, found: Packed,
) -> None:
    assert pushed(found, str(repository)) == f"{repository}#sha256={SHA}"
    run_git("--git-dir", repository, "tag", "-a", "v1", "-m", "one", "main")
    commit = run_git("--git-dir", repository, "rev-parse", "main")
    for reference in (f"{repository}", f"{repository}@main", f"{repository}@v1",
                      f"{repository}@{commit}", f"git+file://{repository}@{commit}"):
        shutil.rmtree(bundle.store(), ignore_errors=True)
        assert opened(reference).sha256 == SHA, reference


def test_an_older_bundle_is_replaced_and_what_lies_beside_it_stays(
    repository: Path, found: Packed, tmp_path: Path,
) -> None:
    pushed(found, f"{repository}@main#subdirectory=models/a")
    pushed(found, f"{repository}@main#subdirectory=models/b")
    newer = unpacked(tmp_path / "newer", files(README__md=None) | {"notes.txt": b"new"})
    with packed(newer) as changed:
        reference = pushed(changed, f"{repository}@main#subdirectory=models/a")
    listed = run_git("--git-dir", repository, "ls-tree", "-r", "--name-only", "main").split()
    assert "models/a/notes.txt" in listed and "models/a/README.md" not in listed
    assert "models/b/README.md" in listed
    assert opened(reference).manifest.files.keys() == changed.manifest.files.keys()
    assert run_git("--git-dir", repository, "rev-list", "--count", "main") == "3"


def test_the_very_same_bundle_is_no_new_commit(repository: Path, found: Packed) -> None:
    pushed(found, str(repository))
    pushed(found, str(repository))
    assert run_git("--git-dir", repository, "rev-list", "--count", "main") == "1"


def test_a_repository_with_something_else_is_left_alone(
    repository: Path, found: Packed, tmp_path: Path,
) -> None:
    commit_files(repository, {"README.md": b"# a project\n"}, tmp_path)
    with pytest.raises(SpecError) as stop:
        pushed(found, str(repository))
    assert stop.value.diagnostics[0].code == "F0860"
    assert "`README.md`" in stop.value.diagnostics[0].headline
    pushed(found, f"{repository}#subdirectory=model")
    assert run_git("--git-dir", repository, "show", "main:README.md") == "# a project"


def commit_files(repository: Path, content: dict[str, bytes], tmp_path: Path,
                 link: str = "") -> None:
    """Commit files, and a link to a path if one is given, by hand."""
    work = tmp_path / "work"
    run_git("clone", "--quiet", repository, work)
    for name, data in content.items():
        (work / name).parent.mkdir(parents=True, exist_ok=True)
        (work / name).write_bytes(data)
    if link:
        (work / "README.md").unlink()
        (work / "README.md").symlink_to(link)
    run_git("-C", work, "add", "--all")
    run_git("-C", work, "commit", "--quiet", "-m", "by hand")
    run_git("-C", work, "push", "--quiet", "origin", "HEAD:main")


def test_a_link_in_a_repository_is_no_file(repository: Path, tmp_path: Path) -> None:
    commit_files(repository, files() | {"manifest.json": manifest(files())}, tmp_path,
                 link="/etc/hostname")
    assert code_of(str(repository)) == "F0855"


def test_hooks_and_filters_of_a_repository_run_nothing(repository: Path, tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    commit_files(repository, files() | {
        "manifest.json": manifest(files()),
        ".gitattributes": b"* filter=evil\n",
        ".gitmodules": b'[submodule "x"]\n path = x\n url = ../elsewhere\n'}, tmp_path)
    for name in ("post-checkout", "post-merge", "reference-transaction"):
        hook = repository / "hooks" / name
        hook.parent.mkdir(exist_ok=True)
        hook.write_text(f"#!/bin/sh\necho {name} >> {trace}\n")
        hook.chmod(0o755)
    assert opened(str(repository)).sha256 == SHA
    assert not trace.exists()


def test_a_repository_that_is_away_leaves_the_last_copy(
    repository: Path, found: Packed, capsys: pytest.CaptureFixture[str],
) -> None:
    pushed(found, str(repository))
    opened(str(repository))
    repository.rename(repository.with_name("moved"))
    assert opened(str(repository)).sha256 == SHA
    assert "warning[F0859]" in capsys.readouterr().err
    assert code_of(f"{repository}@v7") == "F0851"


@pytest.mark.parametrize("reference", [
    "git+ext::sh -c touch% pwned", "git+file:///x --upload-pack=evil", "x.git@--upload-pack=evil",
    "git+ssh://-oProxyCommand=evil/x", "git+https://host", "x.git@a..b",
    "x.git#subdirectory=../y", "x.git#subdirectory=-x", "https://", "https://host:x/y.zip",
    "https://host/a b.zip", "hf:owner", "hf:../x", "hf:owner/name@../x", "x.zip#subdirectory=a",
    "x.zip#sha256=12", "x.zip#sha256=" + "G" * 64, "#sha256=" + "0" * 64])
def test_what_names_no_bundle_reaches_nobody(
    reference: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(git.subprocess, "run", None)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SpecError) as stop:
        parse_reference(reference)
    assert stop.value.diagnostics[0].code == "F0850"


def test_a_repository_is_read_and_written_over_http(
    tmp_path: Path, repository: Path, found: Packed,
) -> None:
    """By `git http-backend`, the server that git brings along."""
    from git_http import serving_git

    run_git("--git-dir", repository, "config", "http.receivepack", "true")
    with serving_git(tmp_path) as address:
        reference = pushed(found, f"git+{address}/models.git@main#subdirectory=tiny")
        assert reference.endswith(f"#subdirectory=tiny&sha256={SHA}")
        assert opened(reference).sha256 == SHA
    assert run_git("--git-dir", repository, "rev-list", "--count", "main") == "1"
