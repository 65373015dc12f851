"""Pairs of texts: files, catalogues and made dates; parts, marks, vocabularies, bad files."""

import struct
from datetime import date

import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError

from compiler.diagnostics import SpecError
from runtime.data import DataSource, number_words
from runtime.data.catalogue import read_catalogue
from runtime.data.dates import WAYS, made
from runtime.data.number_words import spelt
from runtime.data.split import grouped
from runtime.data.tokens import END, START, vocabulary_from

PO = r'''# a comment
msgid ""
msgstr ""
"Content-Type: text/plain; charset=UTF-8\n"

#, c-format
msgid "open"
msgstr "öff"
"nen"

#, fuzzy
msgid "guess"
msgstr "vielleicht"

msgctxt "menu"
msgid "a \"file\"\n"
msgstr "eine \"Datei\"\n"

msgid "%d day"
msgid_plural "%d days"
msgstr[0] "%d Tag"
msgstr[1] "%d Tage"

msgid "not yet"
msgstr ""

#~ msgid "old"
#~ msgstr "alt"
'''
PAIRS = {("open", "öffnen"), ('a "file"\n', 'eine "Datei"\n'), ("%d day", "%d Tag"),
         ("%d days", "%d Tage")}


def source(**fields):
    return TypeAdapter(DataSource).validate_python(fields)


def complaint(load):
    with pytest.raises(SpecError) as caught:
        load()
    (found,) = caught.value.diagnostics
    return found


def written(part):
    return ["".join(map(chr, row[row > 0])) for row in part.arrays["reference"]]


def decoded(data, part, field):
    vocabulary = vocabulary_from(data.fitted["source_vocabulary" if field == "source"
                                             else "target_vocabulary"])
    return [vocabulary.decode(row[:end].tolist())
            for row, end in zip(part.arrays[field], part.lengths[field])]


@pytest.fixture
def tsv(tmp_path):
    """Forty pairs, each text twice with different translations."""
    path = tmp_path / "pairs.tsv"
    path.write_text("".join(
        f"text {i // 2:05b}\ttext {'AB'[i % 2]} {i // 2:05b}\n" for i in range(40)))
    return path


# ---------------------------------------------------------------------- the numbers of a pair


def test_the_decoder_is_told_the_start_and_has_to_say_the_end(tsv):
    data = source(pairs=str(tsv)).load()
    part = data.train
    for told, said, end in zip(part.arrays["target"], part.arrays["next"],
                               part.lengths["target"]):
        assert told[0] == START and said[end - 1] == END
        assert (told[1:end] == said[:end - 1]).all()
    assert data.labels["next"][START:END + 1] == ("⟨start⟩", "⟨end⟩")


def test_texts_come_back_from_their_numbers(tsv):
    data = source(pairs=str(tsv), validation=0.2).load()
    assert decoded(data, data.test, "next") == written(data.test)
    assert all(text.startswith("text ") for text in decoded(data, data.test, "source"))


@pytest.mark.parametrize("tokens", ["characters", "words", {"byte_pairs": {"minimum": 2}}])
def test_every_tokeniser_makes_pairs(tsv, tokens):
    data = source(pairs=str(tsv), tokens=tokens, vocabulary=300).load()
    assert decoded(data, data.train, "source")[0].startswith("text 0")


def test_a_joint_vocabulary_is_one_for_both(tsv):
    data = source(pairs=str(tsv), joint=True).load()
    assert data.fitted["source_vocabulary"] == data.fitted["target_vocabulary"]
    assert "A" in data.labels["source"]


def test_a_text_to_translate_stands_beside_a_translation_that_only_starts(tsv):
    it = source(pairs=str(tsv))
    data = it.load()
    part = it.encode(["text 11", {"source": "text"}], data.fitted, ["a", "b"])
    assert decoded(data, part, "source") == ["text 11", "text"]
    assert part.arrays["target"].tolist() == [[START], [START]]


def test_batches_have_few_lengths_and_the_longer_text_counts(tsv):
    data = source(pairs=str(tsv), buckets=2).load()
    assert data.train.buckets[-1] == max(data.train.arrays[f].shape[1]
                                         for f in ("source", "target"))
    assert len(data.train.buckets) <= 2


def test_what_is_too_long_is_left_out_cut_or_an_error(tmp_path):
    path = tmp_path / "pairs.jsonl"
    path.write_text("".join(f'{{"source": "{"a" * (i % 9 + 1)}{i}", "target": "b"}}\n'
                            for i in range(60)))
    drop = source(pairs=str(path), length=6).load()
    cut = source(pairs=str(path), length=6, longer="cut").load()
    assert cut.train.size > drop.train.size and cut.train.arrays["source"].shape[1] == 6
    assert complaint(source(pairs=str(path), length=6, longer="error").load).code == "F0634"
    assert complaint(source(pairs=str(path), length=1).load).code == "F0631"


# ------------------------------------------------------------------------------------- parts


def test_equal_texts_are_in_one_part():
    keys = [str(i // 3) for i in range(300)]
    cut = grouped(keys, 0.1, 0.2, seed=0)
    parts = [set(np.array(keys)[part]) for part in (cut.train, cut.validation, cut.test)]
    assert sum(len(part) for part in parts) == 100
    assert sorted(np.concatenate([cut.train, cut.validation, cut.test])) == list(range(300))
    assert 60 <= len(cut.test) <= 62 and 30 <= len(cut.validation) <= 32


def test_a_text_of_another_file_that_was_trained_on_is_told(tsv, tmp_path):
    other = tmp_path / "test.tsv"
    other.write_text("TEXT  00011\tsomething else\n")
    fields = dict(pairs=str(tsv), test_file=str(other), validation=0.0)
    assert complaint(source(**fields).load).code == "F0635"
    data = source(**fields, duplicates="drop").load()
    assert data.test.size == 1 and data.train.size == 38


def test_other_pairs_are_read_by_what_the_training_part_taught(tsv, tmp_path):
    from runtime.preprocessing import Preprocessing

    it = source(pairs=str(tsv))
    data = it.load()
    part = it.examples(tsv, Preprocessing.of(data))
    assert part.size == 40 and part.called(7) == "pairs.tsv:8"
    assert written(part)[7] == "text B 00011"


# -------------------------------------------------------------------------------- catalogues


def test_a_catalogue_gives_what_is_translated(tmp_path):
    path = tmp_path / "de.po"
    path.write_text(PO, encoding="utf-8")
    table = read_catalogue(path)
    assert set(zip(table.columns["source"], table.columns["target"])) == PAIRS
    assert table.places()[0] == "de.po:7"


def test_a_catalogue_is_read_in_the_encoding_that_it_names(tmp_path):
    path = tmp_path / "de.po"
    path.write_bytes(PO.replace("UTF-8", "ISO-8859-1").encode("latin1"))
    assert "öffnen" in read_catalogue(path).columns["target"]


def compiled(pairs, order="<"):
    """A .mo file of pairs."""
    rows = sorted(pairs)
    body, places = b"", []
    start = 28 + 16 * len(rows)
    for side in (0, 1):
        for row in rows:
            text = row[side].encode()
            places += [len(text), start + len(body)]
            body += text + b"\0"
    return struct.pack(f"{order}7I{len(places)}I", 0x950412DE, 0, len(rows), 28,
                       28 + 8 * len(rows), 0, 0, *places) + body


@pytest.mark.parametrize("order", "<>")
def test_a_compiled_catalogue_gives_the_same(tmp_path, order):
    path = tmp_path / "de.mo"
    path.write_bytes(compiled(
        [("", "Content-Type: text/plain; charset=UTF-8\n"), ("open", "öffnen"),
         ('menu\x04a "file"\n', 'eine "Datei"\n'), ("%d day\0%d days", "%d Tag\0%d Tage")], order))
    table = read_catalogue(path)
    assert set(zip(table.columns["source"], table.columns["target"])) == PAIRS


def test_a_folder_of_files_is_read_whole(tmp_path):
    (tmp_path / "a.po").write_text(PO, encoding="utf-8")
    (tmp_path / "b.tsv").write_text("house\tHaus\ttaken from a book\n")
    table = source(pairs=str(tmp_path)).read(tmp_path)
    assert table.size == 5 and "b.tsv:1" in table.places().tolist()


def test_halves_of_characters_are_no_text(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"source": "a\\ud800", "target": "b"}\n')
    assert source(pairs=str(path)).read(path).columns["source"] == ["a?"]


def test_a_pair_may_be_turned_around(tmp_path):
    (tmp_path / "a.po").write_text(PO, encoding="utf-8")
    table = source(pairs=str(tmp_path), reverse=True).read(tmp_path)
    assert "öffnen" in table.columns["source"]


@pytest.mark.parametrize("name, content, code, says", [
    ("a.po", b'msgid "a"\nmsgstr "b\n', "F0660", "in double quotes"),
    ("a.po", b'msgid "a"\nmsgstr "b" c\n', "F0660", "in double quotes"),
    ("a.po", b'msgid "a"\n\nmsgid "b"\nmsgstr "c"\n', "F0660", "twice"),
    ("a.po", b'msgstr "c"\n', "F0660", "no `msgid`"),
    ("a.po", b'msgid "c"\n', "F0660", "no `msgstr`"),
    ("a.po", b'hello\n', "F0660", "no part of a gettext catalogue"),
    ("a.po", b'msgid "a\\q"\nmsgstr "b"\n', "F0660", "stands for nothing"),
    ("a.po", b'msgid ""\nmsgstr "charset=zip\\n"\nmsgid "a"\nmsgstr "b"\n', "F0660", "encoding"),
    ("a.po", b'msgid "a"\nmsgstr "\xff"\n', "F0630", "is not UTF-8 text"),
    ("a.po", b'msgid "a"\nmsgstr ""\n', "F0631", "no translated texts"),
    ("a.po", b"", "F0631", "is empty"),
    ("a.mo", b"not a catalogue", "F0661", "damaged"),
    ("a.mo", compiled([("a", "b")])[:30], "F0661", "damaged"),
    ("a.mo", compiled([("a", "b")])[:8] + b"\xff" * 20, "F0661", "damaged"),
    ("a.mo", compiled([("", "charset=utf-8"), ("a", "b")]).replace(b"b\0", b"\xff\0"),
     "F0661", "damaged"),
    ("a.tsv", b"only one column\n", "F0633", "no translation"),
    ("a.tsv", b"a\tb\n\tb\n", "F0633", "`source` is empty"),
    ("a.tsv", b"a\tb\nc\td\te\n", "F0633", "3 cells, not 2"),
    ("a.tsv", b"a\t\xff\n", "F0630", "is not UTF-8 text"),
    ("a.jsonl", b'{"source": "a"}\n', "F0632", "no column `target`"),
    ("a.jsonl", b'{"source": "a", "target": 5}\n', "F0633", "`target` is no text"),
    ("a.jsonl", b'{"source": "a", "target": "b"\n', "F0633", "not JSON"),
    ("a.jsonl", b"[" * 100_000 + b"\n", "F0633", "nested too deep"),
    ("a.pdf", b"%PDF", "F0630", "no kind of table"),
    ("missing.tsv", None, "F0630", "does not exist"),
])
def test_a_bad_file_is_told_with_its_place(tmp_path, name, content, code, says):
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    found = complaint(source(pairs=str(path), validation=0.0, test=0.0).load)
    assert found.code == code and says in found.headline + " ".join(found.notes)


def test_classes_cannot_part_what_has_none(tsv):
    with pytest.raises(ValidationError, match="no classes to be stratified by"):
        source(pairs=str(tsv), split="stratified")


# ------------------------------------------------------------------------------------- dates


def test_a_date_is_itself_in_every_notation():
    for text, iso in made(300, 1):
        when = date.fromisoformat(iso)
        assert text in {spelt for way in WAYS for spelt in (way(when), way(when).lower())}


def test_no_tested_date_was_trained_on_however_it_is_written():
    data = source(dataset="dates", count=400).load()
    said = [set(decoded(data, part, "next")) for part in (data.train, data.validation, data.test)]
    assert not said[0] & said[2] and not said[0] & said[1] and not said[1] & said[2]


def test_dates_are_the_same_for_a_seed_and_fit_what_is_declared():
    assert made(50, 3) == made(50, 3) != made(50, 4)
    it = source(dataset="dates", count=2000)
    data = it.load()
    assert dict(data.fields) == it.fields()
    assert data.train.arrays["source"].shape[1] == it.fields()["source"].length


# ------------------------------------------------------------------------------ number words


@pytest.mark.parametrize("number, text, settings", [
    (0, "zero", {}),
    (305, "three hundred and five", {}),
    (305, "three hundred five", {"bare": True}),
    (1_205, "twelve hundred and five", {"idiom": True}),
    (2_000, "two thousand", {"idiom": True}),
    (100_000_014, "a hundred million and fourteen", {"idiom": True}),
    (42_000_118, "forty two million, one hundred and eighteen", {"commas": True, "apart": True}),
])
def test_numbers_are_spelt_as_people_spell_them(number, text, settings):
    assert spelt(number, **settings) == text


@pytest.mark.parametrize("reverse", [False, True])
def test_no_tested_number_was_trained_on_and_all_fits_what_is_declared(reverse):
    it = source(dataset="number_words", count=2000, reverse=reverse)
    data = it.load()
    field = "source" if reverse else "next"
    parts = data.train, data.validation, data.test
    texts = [set(decoded(data, part, field)) for part in parts]
    assert not texts[0] & texts[2] and not texts[0] & texts[1] and not texts[1] & texts[2]
    assert dict(data.fields) == it.fields()
    for field in ("source", "next"):
        array = data.train.arrays[field]
        assert array.shape[1] == it.fields()[field].length
        assert 0 <= array.min() and array.max() < it.fields()[field].vocabulary
    assert number_words.made(50, 3, reverse) == number_words.made(50, 3, reverse)


@pytest.mark.parametrize("reverse", [False, True])
def test_numbers_in_other_tokens_have_lengths_of_their_own(reverse):
    it = source(dataset="number_words", count=200, reverse=reverse,
                **{"target_tokens" if reverse else "tokens": "characters"},
                **{"target_vocabulary" if reverse else "vocabulary": None})
    lengths = {field: it.load().train.arrays[field].shape[1] for field in ("source", "next")}
    assert lengths["next" if reverse else "source"] > 20
