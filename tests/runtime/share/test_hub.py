"""Bundles on the Hugging Face hub, for which a stand-in on this machine answers."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from bundles import files, manifest, unpacked
from hub_stand_in import Hub, serving_hub

from compiler.diagnostics import SpecError
from runtime.share.bundle import in_place
from runtime.share.manifest import digest
from runtime.share.opening import opened
from runtime.share.pack import Packed
from runtime.share.pushing import pushed

SHA = digest(manifest(files()))


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """The stand-in, to which the library talks."""
    constants = pytest.importorskip("huggingface_hub.constants")
    monkeypatch.setenv("FLAXSPEC_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("FLAXSPEC_OFFLINE", raising=False)
    monkeypatch.setenv("HF_TOKEN", "hf_somebody")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with serving_hub() as state:
        monkeypatch.setattr(constants, "ENDPOINT", state.address)
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE",
                            state.address + "/{repo_id}/resolve/{revision}/{filename}")
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        yield state


@pytest.fixture
def found(tmp_path: Path) -> Packed:
    folder = unpacked(tmp_path / "tiny", files())
    made = in_place(folder)
    return Packed(made.manifest, {name: folder / name for name in made.manifest.files}, {})


def filled(hub: Hub, **changes: bytes | str | None) -> None:
    """A model with a bundle, and with a file of the hub's own beside it."""
    content = files(**changes)
    hub.commits.setdefault("me/tiny", []).append(
        {"manifest.json": manifest(files()), ".gitattributes": b"*.bin lfs\n", **content})


def complaint(reference: str) -> tuple[str, str]:
    with pytest.raises(SpecError) as stop:
        opened(reference)
    first = stop.value.diagnostics[0]
    return first.code, first.headline


def test_a_model_is_fetched_once_and_asked_for_again(hub: Hub) -> None:
    filled(hub)
    assert opened("hf:me/tiny").sha256 == SHA
    hub.asked.clear()
    assert opened("hf:me/tiny").sha256 == SHA
    # The same commit: nothing is fetched.
    assert [path for _, path in hub.asked] == ["/api/models/me/tiny"]


def test_a_commit_and_a_pin_choose_a_version(hub: Hub) -> None:
    filled(hub)
    newer = files(README__md="# newer\n")
    hub.commits["me/tiny"].append({"manifest.json": manifest(newer), **newer})
    assert opened(f"hf:me/tiny@{hub.sha('me/tiny', 0)}").sha256 == SHA
    assert opened("hf:me/tiny").sha256 != SHA
    assert complaint("hf:me/tiny#sha256=" + "0" * 64)[0] == "F0857"


def test_what_is_not_there_is_told(hub: Hub) -> None:
    filled(hub)
    assert complaint("hf:me/other")[0] == "F0851"
    assert complaint("hf:me/tiny@v9")[0] == "F0851"


def test_a_changed_file_is_refused(hub: Hub) -> None:
    filled(hub, README__md="# evil\n")
    assert complaint("hf:me/tiny")[0] == "F0855"


def test_a_file_larger_than_listed_is_not_even_fetched(hub: Hub) -> None:
    filled(hub, weights__safetensors=bytes(10**6))
    assert complaint("hf:me/tiny")[0] == "F0855"
    assert not any("weights" in path for _, path in hub.asked)


def test_a_hub_that_is_away_leaves_the_last_copy(
    hub: Hub, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
) -> None:
    filled(hub)
    opened("hf:me/tiny")
    monkeypatch.setenv("FLAXSPEC_OFFLINE", "1")
    assert opened("hf:me/tiny").sha256 == SHA
    assert "warning[F0859]" in capsys.readouterr().err


def test_a_bundle_is_pushed_to_a_model_that_is_made_for_its_owner(
    hub: Hub, found: Packed,
) -> None:
    reference = pushed(found, "hf:me/new")
    assert reference == f"hf:me/new#sha256={SHA}"
    assert hub.private == {"me/new"}
    assert opened("hf:me/new").sha256 == SHA
    pushed(found, "hf:me/open", public=True)
    assert hub.private == {"me/new"}


def test_an_older_bundle_is_replaced_and_something_else_left_alone(
    hub: Hub, found: Packed,
) -> None:
    older = files() | {"notes.txt": b"old"}
    hub.commits["me/tiny"] = [{"manifest.json": manifest(older), ".gitattributes": b"", **older}]
    pushed(found, "hf:me/tiny")
    assert hub.commits["me/tiny"][-1].keys() == {"manifest.json", ".gitattributes", *files()}
    hub.commits["me/other"] = [{"model.bin": b"something"}]
    with pytest.raises(SpecError) as stop:
        pushed(found, "hf:me/other")
    assert stop.value.diagnostics[0].code == "F0860"
    assert len(hub.commits["me/other"]) == 1


def test_who_may_not_write_is_told_to_log_in(hub: Hub, found: Packed) -> None:
    hub.takes = False
    with pytest.raises(SpecError) as stop:
        pushed(found, "hf:me/tiny")
    assert stop.value.diagnostics[0].help == "say who you are: `hf auth login`"


def test_without_its_library_the_hub_is_not_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    code, headline = complaint("hf:me/tiny")
    assert code == "F0636" and "huggingface_hub" in headline
