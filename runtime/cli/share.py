"""`flaxspec pack`, `push` and `pull`: a finished run goes to others, and theirs come here."""

from __future__ import annotations

import json as json_
from pathlib import Path
from typing import Literal

from runtime.cli.terminal import bold, pairs, short, size_of
from runtime.finding import find
from runtime.report.console import figure
from runtime.share.manifest import Manifest

Form = Literal["text", "json", "nothing"]


def told_as(json: bool, quiet: bool) -> Form:
    """What `--json` and `--quiet` ask for."""
    return "json" if json else "nothing" if quiet else "text"


def pack(run: str, out: Path | None, *, licence: str, data_licence: str, told: Form) -> None:
    """Write the bundle of a run, and say what it holds.

    Raises:
        SpecError: the run cannot be packed, or the file not be written.
    """
    from runtime.share.local import file_for, save
    from runtime.share.pack import packed

    with packed(find(run), licence=licence, data_licence=data_licence) as found:
        path = file_for(out, found.manifest.name)
        save(found, path)
        _told(found.manifest, str(path), "packed", told)
        if found.wanted and told == "text":
            print("\nNot part of it, and needed to train it again: " + ", ".join(found.wanted))


def push(
    run: str, where: str, *, licence: str, data_licence: str, public: bool, told: Form,
) -> None:
    """Bring a bundle, or that of a run, somewhere, and say how it is pulled from there.

    Raises:
        SpecError: it cannot be brought there.
    """
    from runtime.share.pack import packed
    from runtime.share.pushing import pushed

    with packed(find(run), licence=licence, data_licence=data_licence) as found:
        _told(found.manifest, pushed(found, where, public=public), "pushed", told)


def pull(reference: str, out: Path | None, *, told: Form) -> None:
    """Bring a bundle here, unpacked, and say what it is.

    Raises:
        SpecError: it cannot be had, or is not in order.
    """
    from runtime.share.local import unpack
    from runtime.share.opening import opened

    bundle = opened(reference)
    folder = unpack(bundle, out)
    _told(bundle.manifest, str(folder), "pulled", told)


def _told(manifest: Manifest, where: str, verb: str, form: Form) -> None:
    """Say what a bundle is and where it is now."""
    from compiler.source import visible

    if form == "nothing":
        return
    if form == "json":
        print(json_.dumps({"name": manifest.name, "sha256": manifest.sha256, "to": where,
                           "bytes": manifest.size, "files": sorted(manifest.files)},
                          ensure_ascii=False))
        return
    about = manifest.about
    figures, score = about.get("figures"), about.get("score")
    rows = [(verb, where)]
    if isinstance(about.get("summary"), str) and about["summary"]:
        rows.append(("what", about["summary"]))
    if isinstance(figures, dict) and isinstance(figures.get("parameters"), int):
        rows.append(("parameters", short(figures["parameters"])))
    if told := claim(score):
        rows.append(("claim", told))
    rows += [("licence", str(about.get("licence") or "not stated")),
             ("holds", f"{len(manifest.files) + 1} files, {size_of(manifest.size)}"),
             ("sha256", manifest.sha256)]
    print(bold(visible(manifest.name)))
    print("\n".join(pairs([(name, visible(text)) for name, text in rows])))


def claim(score: object) -> str:
    """"accuracy 98.89 % on 360 examples of the test part", or "" where nothing is claimed."""
    if not isinstance(score, dict) or not isinstance(score.get("figures"), dict):
        return ""
    name, count = score.get("metric"), score.get("examples")
    value = score["figures"].get(name)
    if not isinstance(name, str) or not isinstance(value, int | float):
        return ""
    many = f"{count:,} examples of " if isinstance(count, int) else ""
    return f"{name} {figure(name, value)} on {many}the {score.get('part')} part"
