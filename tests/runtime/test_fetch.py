"""Files from the web, fetched from a server on this machine that behaves and misbehaves."""

import gzip
import hashlib
import http.server
import io
import json
import struct
import tarfile
import threading
import zipfile

import numpy as np
import pytest
import yaml
from pydantic import TypeAdapter, ValidationError

from compiler import zoo
from compiler.diagnostics import Report, SpecError
from compiler.source import Source
from runtime.data import DataSource
from runtime.data.fetch import cache_folder, check_contents, fetched, gathered, unpacked
from runtime.data.named import about, data_sets
from runtime.run import prepare

CONTENT = np.random.default_rng(0).integers(0, 256, 700_000, dtype=np.uint8).tobytes()
SHA = hashlib.sha256(CONTENT).hexdigest()
QUICK = (0.0, 0.0)


class Server:
    """What the server offers, and what it was asked.

    Attributes:
        address: where it is.
        files: content by path.
        asked: (path, the Range header or "") of every request.
        cut: how many bytes each of the next answers ends after, though it promised more.
        status: the statuses of the next answers, in place of a file.
        ranges: whether it heeds the Range header.
    """

    def __init__(self):
        self.address = ""
        self.files = {"/file.bin": CONTENT}
        self.asked = []
        self.cut = []
        self.status = []
        self.ranges = True


@pytest.fixture
def server():
    state = Server()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            wanted = self.headers.get("Range") or ""
            state.asked.append((self.path, wanted))
            if state.status or self.path not in state.files:
                self.send_error(state.status.pop(0) if state.status else 404)
                return
            content, start = state.files[self.path], 0
            if wanted and state.ranges:
                start = int(wanted.removeprefix("bytes=").removesuffix("-"))
                if start >= len(content):
                    self.send_error(416)
                    return
            self.send_response(206 if start else 200)
            self.send_header("Content-Length", str(len(content) - start))
            self.end_headers()
            self.wfile.write(content[start:][: state.cut.pop(0) if state.cut else None])

        def log_message(self, *args):
            pass

    httpd = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    state.address = f"http://127.0.0.1:{httpd.server_address[1]}"
    yield state
    httpd.shutdown()
    thread.join()
    httpd.server_close()


def get(server, folder, sha256=SHA, **options):
    return fetched(f"{server.address}/file.bin", sha256, folder, waits=QUICK, **options)


def complaint(code, call):
    with pytest.raises(SpecError) as caught:
        call()
    (found,) = caught.value.diagnostics
    assert found.code == code
    return "\n".join([found.headline, *found.notes, found.help])


# ---------------------------------------------------------------------------------- fetching


def test_a_file_is_fetched_once(server, tmp_path):
    path = get(server, tmp_path / "deep" / "er")
    assert path.read_bytes() == CONTENT and path.name == "file.bin"
    assert get(server, tmp_path / "deep" / "er") == path
    assert len(server.asked) == 1
    assert [p.name for p in path.parent.iterdir()] == ["file.bin"]


def test_progress_tells_how_far_it_is(server, tmp_path):
    told = []
    get(server, tmp_path, progress=lambda *item: told.append(item))
    assert told[0] == ("file.bin", 0, len(CONTENT)) and told[-1][1:] == (len(CONTENT),) * 2
    assert [have for _, have, _ in told] == sorted(have for _, have, _ in told)


def test_what_is_there_is_not_fetched_again(server, tmp_path):
    (tmp_path / "file.bin.partial").write_bytes(CONTENT[:300_000])
    assert get(server, tmp_path).read_bytes() == CONTENT
    assert server.asked == [("/file.bin", "bytes=300000-")]


def test_a_connection_that_breaks_is_taken_up_where_it_broke(server, tmp_path):
    server.cut = [100_000, 200_000]
    assert get(server, tmp_path).read_bytes() == CONTENT
    assert [asked for _, asked in server.asked] == ["", "bytes=100000-", "bytes=300000-"]


def test_a_server_that_knows_no_ranges_is_asked_for_the_whole(server, tmp_path):
    server.ranges = False
    (tmp_path / "file.bin.partial").write_bytes(CONTENT[:300_000])
    assert get(server, tmp_path).read_bytes() == CONTENT


def test_the_rest_of_another_file_is_thrown_away(server, tmp_path):
    (tmp_path / "file.bin.partial").write_bytes(b"x" * 300_000)
    assert get(server, tmp_path).read_bytes() == CONTENT
    assert [asked for _, asked in server.asked] == ["bytes=300000-", ""]


def test_a_complete_but_unnamed_file_is_taken_as_it_is(server, tmp_path):
    (tmp_path / "file.bin.partial").write_bytes(CONTENT)
    assert get(server, tmp_path).read_bytes() == CONTENT


def test_a_server_in_trouble_is_asked_again(server, tmp_path):
    server.status = [503, 500]
    assert get(server, tmp_path).read_bytes() == CONTENT


def test_a_missing_file_is_not_asked_for_again(server, tmp_path):
    server.files.clear()
    text = complaint("F0637", lambda: get(server, tmp_path))
    assert "404" in text and f"put it at `{tmp_path / 'file.bin'}`" in text
    assert len(server.asked) == 1


def test_a_server_that_stays_in_trouble_is_told(server, tmp_path):
    server.status = [503] * 3
    assert "the server says 503" in complaint("F0637", lambda: get(server, tmp_path))


def test_what_was_fetched_stays_when_the_connection_breaks_for_good(server, tmp_path):
    server.cut = [100_000] * 3
    complaint("F0637", lambda: get(server, tmp_path))
    assert (tmp_path / "file.bin.partial").read_bytes() == CONTENT[:300_000]
    assert not (tmp_path / "file.bin").exists()


def test_nobody_there_is_told(tmp_path):
    text = complaint("F0637", lambda: fetched(
        "http://127.0.0.1:9/file.bin", SHA, tmp_path, waits=()))
    assert "cannot be fetched" in text and "refused" in text


def test_another_file_is_refused_and_not_kept(server, tmp_path):
    text = complaint("F0638", lambda: get(server, tmp_path, sha256="0" * 64))
    assert SHA in text and "0" * 64 in text
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_was_changed_since_is_refused(server, tmp_path):
    get(server, tmp_path).write_bytes(b"changed")
    assert "delete it" in complaint("F0638", lambda: get(server, tmp_path))


def test_a_folder_that_cannot_be_written_is_named(server, tmp_path):
    (tmp_path / "file").write_text("")
    assert "FLAXSPEC_CACHE" in complaint("F0637", lambda: get(server, tmp_path / "file" / "x"))


def test_the_environment_says_where_files_are_kept(monkeypatch, tmp_path):
    monkeypatch.setenv("FLAXSPEC_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path
    monkeypatch.delenv("FLAXSPEC_CACHE")
    assert cache_folder().name == "flaxspec"


# ---------------------------------------------------------------------------------- archives


def tar(path, **files):
    with tarfile.open(path, "w:gz") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name.replace("__", "/"))
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def test_archives_are_unpacked_once(tmp_path):
    path = tar(tmp_path / "a.tar.gz", in__x=b"1", y=b"2")
    folder = unpacked(path)
    assert (folder / "in" / "x").read_bytes() == b"1"
    (folder / "mark").write_text("")
    assert (unpacked(path) / "mark").exists()
    with zipfile.ZipFile(tmp_path / "b.zip", "w") as archive:
        archive.writestr("x", "3")
    assert (unpacked(tmp_path / "b.zip") / "x").read_bytes() == b"3"
    assert len(list(tmp_path.iterdir())) == 4  # nothing else is left


def test_a_broken_archive_leaves_nothing_behind(tmp_path):
    path = tar(tmp_path / "a.tar.gz", x=CONTENT)
    path.write_bytes(path.read_bytes()[:1000])
    assert "cannot be unpacked" in complaint("F0630", lambda: unpacked(path))
    assert [p.name for p in tmp_path.iterdir()] == ["a.tar.gz"]


def test_an_archive_cannot_write_outside_its_folder(tmp_path):
    path = tar(tmp_path / "a.tar.gz", **{"..__..__evil": b"x"})
    complaint("F0630", lambda: unpacked(path))
    assert not (tmp_path.parent / "evil").exists() and not (tmp_path / "evil").exists()


def test_texts_in_an_archive_become_tables_once(tmp_path):
    files = {f"in__{part}__{label}__{n}.txt": f"{label} {part} {n}".encode()
             for part in ("train", "test") for label in ("pos", "neg", "unsup") for n in range(2)}
    path = tar(tmp_path / "a.tar.gz", **files)
    tables = {"train.jsonl": "in/train", "test.jsonl": "in/test"}
    gathered(path, tables, ["neg", "pos"])
    lines = (tmp_path / "train.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == [
        {"text": f"{label} train {n}", "label": label} for label in ("neg", "pos")
        for n in range(2)]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.tar.gz", "test.jsonl", "train.jsonl"]
    path.write_bytes(b"")  # it is not looked at again
    gathered(path, tables, ["neg", "pos"])


def test_an_archive_without_the_texts_is_refused(tmp_path):
    path = tar(tmp_path / "a.tar.gz", in__x=b"1")
    text = complaint("F0630", lambda: gathered(path, {"train.jsonl": "in/train"}, ["neg"]))
    assert "no texts in `in/train`" in text
    path.write_bytes(b"hello")
    assert "cannot be read" in complaint("F0630", lambda: gathered(path, {"t": "in"}, ["neg"]))


# ------------------------------------------------------------------------- data sets by name


def test_every_file_of_a_data_set_is_in_order():
    for name in data_sets():
        entry = about(name)
        assert entry.dataset == name
        source = TypeAdapter(DataSource).validate_python({"dataset": name})
        assert source.title == name
        inputs = set(source.fields()) - set(source.targets())
        assert inputs and source.targets()


def test_the_data_sets_that_everybody_knows_are_there():
    assert set(data_sets()) >= {"cifar10", "cifar100", "mnist", "fashion_mnist",
                                  "imdb", "tiny_shakespeare"}
    fields = TypeAdapter(DataSource).validate_python({"dataset": "cifar100"}).fields()
    assert fields["image"].shape == (32, 32, 3) and fields["label"].vocabulary == 100


def test_data_sets_are_no_models():
    assert not set(data_sets()) & set(zoo.index())


@pytest.fixture
def tiny(server, tmp_path, monkeypatch):
    """A data set like MNIST, of a few pictures, from the server."""
    images = np.random.default_rng(1).integers(0, 256, (40, 4, 4), dtype=np.uint8)
    labels = (np.arange(40) % 2).astype(np.uint8)

    def packed(array):
        head = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
        return gzip.compress(head + array.tobytes(), mtime=0)

    content = {"a-images.gz": images[:30], "a-labels.gz": labels[:30],
               "b-images.gz": images[30:], "b-labels.gz": labels[30:]}
    server.files = {f"/{name}": packed(array) for name, array in content.items()}
    folder = tmp_path / "specs"
    (folder / "datasets").mkdir(parents=True)
    (folder / "datasets" / "tiny.yaml").write_text(yaml.safe_dump({
        "dataset": "tiny", "summary": "-", "source": "-", "licence": "-",
        "files": [{"address": f"{server.address}{path}",
                   "sha256": hashlib.sha256(data).hexdigest()}
                  for path, data in server.files.items()],
        "data": {"arrays": ".", "contents": {
            "image": {"array": {"train": "a-images.gz", "test": "b-images.gz"},
                      "shape": [4, 4, 1]},
            "label": {"array": {"train": "a-labels.gz", "test": "b-labels.gz"},
                      "classes": ["even", "odd"]}}}}))
    monkeypatch.setenv("FLAXSPEC_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(zoo, "directory", lambda: folder)
    about.cache_clear()
    return images


def test_a_data_set_by_name_is_fetched_and_read(tiny, server):
    source = TypeAdapter(DataSource).validate_python({"dataset": "tiny", "validation": 0.2})
    assert server.asked == []  # it is checked without being fetched
    data = source.load()
    assert [data.train.size, data.validation.size, data.test.size] == [24, 6, 10]
    np.testing.assert_array_equal(data.test.arrays["image"][..., 0], tiny[30:])
    assert data.labels["label"] == ("even", "odd")
    source.load()
    assert len(server.asked) == 4


def test_a_data_set_is_here_once_it_was_fetched(tiny, server):
    assert not about("tiny").is_here
    about("tiny").fetch()
    assert about("tiny").is_here


RECIPE = """\
flaxspec: 1
name: t
inputs: {image: {shape: [28, 28, 1]}}
model: [flatten, dense: 10]
data: {dataset: mnist, validation: 0.2, augment: [{shift: 2}]}
task: classification
train: {epochs: 1, batch_size: 8, optimizer: {sgd: 0.1}}
"""


def test_a_recipe_names_a_data_set():
    prepared = prepare(Source("t.yaml", RECIPE), Report())
    assert prepared.inputs == {"image": "image"}
    assert prepared.training.data.validation == 0.2


@pytest.mark.parametrize("old, new, expected", [
    ("dataset: mnist", "dataset: minst", ("F0612", 5, "`minst` is not one of the choices",
                                          "did you mean `mnist`?")),
    ("validation", "validaton", ("F0203", 5, "`validaton` is not a field of `data`",
                                 "did you mean `validation`?"))])
def test_a_mistake_beside_a_data_set_is_told_at_its_place(old, new, expected):
    with pytest.raises(SpecError) as caught:
        prepare(Source("t.yaml", RECIPE.replace(old, new)), Report())
    (found,) = caught.value.diagnostics
    label = found.labels[0]
    assert (found.code, label.span.line, found.headline, label.text) == expected


def test_a_reader_knows_the_names_of_data_sets():
    with pytest.raises(ValidationError) as caught:
        TypeAdapter(DataSource).validate_python(
            {"dataset": "digits", "images": "x", "size": 8})
    assert "not a data set that `images` reads" in caught.value.errors()[0]["msg"]


def test_an_archive_that_is_packed_anew_is_known_by_its_files(tmp_path):
    folder = tmp_path / "set" / "recordings"
    folder.mkdir(parents=True)
    lines = ""
    for name, text in (("b.txt", b"two"), ("a.txt", b"one")):
        (folder / name).write_bytes(text)
    for name in ("a.txt", "b.txt"):
        lines += f"{hashlib.sha256((folder / name).read_bytes()).hexdigest()}  {name}\n"
    wanted = {"recordings": hashlib.sha256(lines.encode()).hexdigest()}
    check_contents(tmp_path / "set.tar.gz", folder.parent, wanted)
    (folder / "a.txt").write_bytes(b"another")
    text = complaint("F0638", lambda: check_contents(
        tmp_path / "set.tar.gz", folder.parent, wanted))
    assert "2 files in `recordings`" in text
