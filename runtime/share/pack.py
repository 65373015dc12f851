"""From a finished run to a bundle: what it holds, and what its manifest claims."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from compiler.diagnostics import Report, SpecError, diagnostic
from compiler.parse import parse, read_source
from compiler.plan import make_plan
from compiler.targets.canonical import canonical_files
from compiler.version import VERSION
from runtime import folder as files
from runtime.data.files import shown
from runtime.data.source import Source
from runtime.report.jsonl import read_events
from runtime.run import Prepared, prepare, sized_graph
from runtime.share.archive import CHUNK
from runtime.share.bundle import in_place
from runtime.share.card import Told, card
from runtime.share.confined import reaching
from runtime.share.manifest import MAX_TEXT, WEIGHTS, Entry, Manifest, check_paths
from runtime.share.portable import Portable, portable
from runtime.share.reference import MANIFEST

CARD, DRAWING = "README.md", "architecture.svg"
# What is taken from the run's folder as it is; the weights are there always.
KEPT = (files.WEIGHTS, files.PREPROCESSING, files.SUMMARY, files.METRICS, files.ENVIRONMENT)


@dataclass(frozen=True)
class Packed:
    """A bundle that is ready to be written somewhere.

    Attributes:
        manifest: its manifest.
        files: where the content of each file lies.
        wanted: the fields of its recipe whose files it does not hold: `data.images`.
    """

    manifest: Manifest
    files: Mapping[str, Path]
    wanted: Mapping[str, str]


@contextmanager
def packed(run: Path, *, licence: str = "", data_licence: str = "") -> Iterator[Packed]:
    """The bundle of a run, or of the folder of an unpacked one.

    Args:
        run: the folder of a finished run, or of a bundle.
        licence: of the model.
        data_licence: of the data, where the data set does not say.

    Raises:
        SpecError: F0861 the run cannot be packed; others where its files are not in order.
    """
    if (run / MANIFEST).is_file():
        bundle = in_place(run)
        yield Packed(bundle.manifest, {name: run / name for name in bundle.manifest.files}, {})
        return
    stage = Path(tempfile.mkdtemp(prefix="flaxspec-pack-"))
    try:
        yield _of_run(run, stage, licence, data_licence)
    finally:
        shutil.rmtree(stage, ignore_errors=True)


def _of_run(run: Path, stage: Path, licence: str, data_licence: str) -> Packed:
    prepared = prepare(run / files.SPEC, Report())
    given = portable(prepared.program)
    found = {name: run / name for name in KEPT if (run / name).is_file()}
    if _may_be_told(run / files.WRITTEN):
        found[files.WRITTEN] = run / files.WRITTEN
    for name, source in given.carried.items():
        if not source.is_file():
            raise SpecError([diagnostic(
                "F0861", f"the tokeniser of the run is gone: there is no `{source}`",
                help="put it back there, or where its spec says: "
                     f"`{shown(run / files.SPEC)}`")])
        found[name] = source
    texts = canonical_files(given.program, files.SPEC)
    told = _told(run, prepared, given, licence, data_licence)
    drawing = _drawing(prepared)
    texts[CARD] = card(replace(told, drawing=DRAWING if drawing else ""))
    if drawing:
        texts[DRAWING] = drawing
    for name, text in texts.items():
        found[name] = stage / name
        found[name].parent.mkdir(parents=True, exist_ok=True)
        found[name].write_text(text, encoding="utf-8", newline="\n")
    check_paths(found, f"`{shown(run)}`")
    entries = {name: _entry(name, path) for name, path in found.items()}
    return Packed(Manifest(_about(told, entries[files.WEIGHTS].size), entries), found,
                  given.wanted)


def _may_be_told(written: Path) -> bool:
    """Whether the author's own text is there, and names nothing of this machine."""
    if not written.is_file():
        return False
    try:
        return not any(reaching(parse(read_source(written), Report())))
    except SpecError:
        return False


def _entry(name: str, path: Path) -> Entry:
    hasher, size = hashlib.sha256(), 0
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            hasher.update(chunk)
            size += len(chunk)
    if size > MAX_TEXT and not name.endswith(WEIGHTS):
        raise SpecError([diagnostic(
            "F0861", f"`{name}` has {size:,} bytes; a text in a bundle has at most {MAX_TEXT:,}")])
    return Entry(hasher.hexdigest(), size)


def _about(told: Told, weights: int) -> dict[str, Any]:
    """What the manifest says besides the files."""
    totals = told.plan.totals
    score = {key: told.score[key] for key in ("metric", "part", "examples", "figures", "seed")}
    return {
        "name": told.name, "summary": told.summary, "flaxspec": VERSION, "language": 1,
        "network": told.network, "task": told.task, "licence": told.licence,
        "data": {"name": told.data["name"], "licence": told.data["licence"]},
        "wanted": dict(told.wanted), **({"start": dict(told.start)} if told.start else {}),
        "figures": {"parameters": totals.params, "macs": totals.macs, "weight_bytes": weights},
        "score": score,
    }


def _told(
    run: Path, prepared: Prepared, given: Portable, licence: str, data_licence: str,
) -> Told:
    """What the card and the manifest say, from the run's files."""
    result = files.finite(_content(run / files.SUMMARY))
    if not isinstance(result.get("test"), dict) or not isinstance(result.get("validation"), dict):
        raise SpecError([diagnostic(
            "F0861", f"the run in `{shown(run)}` cannot be packed: its `{files.SUMMARY}` has no "
                     "scores", help="finish the run with `--resume`, or train it again")])
    plan = make_plan(sized_graph(prepared), training=False, batch=1)
    document = prepared.program.document
    source = prepared.training.data
    return Told(
        prepared.program.name, document.summary or "", _sources(document.source),
        prepared.training.task.word, _about_data(source, data_licence), licence,
        _network(prepared), _claim(run, result, prepared.training.task.word), result,
        _content(run / files.ENVIRONMENT), plan, given.wanted, _start(run), "")


def _start(run: Path) -> dict[str, str]:
    """The weights that a run began with: the file's name and its hash; {} where it drew its own."""
    told = _content(run / files.START)
    path, sha256 = told.get("from"), told.get("sha256")
    if not isinstance(path, str) or not isinstance(sha256, str):
        return {}
    return {"name": Path(path).name, "sha256": sha256}


def _sources(source: str | tuple[str, ...]) -> str:
    return source if isinstance(source, str) else ", ".join(source)


def _claim(run: Path, result: Mapping[str, Any], task: str) -> dict[str, Any]:
    """The score, and what it rests on."""
    begun = next((event for event in read_events(run / files.METRICS)
                  if event.get("event") == "begin"), {})
    counts = begun.get("examples", {})
    part = "test" if result["test"] else "validation"
    return {"metric": result.get("metric", "loss"), "part": part, "examples": counts.get(part),
            "figures": result[part], "seed": result.get("seed"), "examples_of": counts,
            "counts_examples": task == "classification"}


def _about_data(source: Source, licence: str) -> dict[str, str]:
    about = source.origin
    return {"name": source.title, "about": about.summary, "source": about.source,
            "licence": licence or about.licence}


def _network(prepared: Prepared) -> str:
    from compiler.targets.identity import network_hash

    return network_hash(prepared.graph)


def _drawing(prepared: Prepared) -> str:
    """The model as an SVG file; "" where it is too large to be drawn."""
    from compiler.targets.diagram import drawings, standalone

    found = drawings(prepared.graph)
    return standalone(found[0]) if found else ""


def _content(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        found = {}
    return found if isinstance(found, dict) else {}
