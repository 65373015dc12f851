"""Running text: parts, tokens, vocabularies, and what goes wrong with files."""

import numpy as np
import pytest
from pydantic import TypeAdapter

from compiler.diagnostics import SpecError
from runtime.data import DataSource
from runtime.data.tokens import BytePairs, Characters, Words, vocabulary_from
from runtime.data.windows import chunks

TEXT = "the cat sat on the mat. the dog sat on the log.\n" * 20
TOKENISERS = ["characters", "words", {"words": {"split_at": "spaces", "lowercase": True}},
              {"byte_pairs": {"minimum": 2}}]


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "book.txt"
    path.write_text(TEXT, encoding="utf-8")
    return path


def source(**fields):
    return TypeAdapter(DataSource).validate_python(fields)


def complaint(load):
    with pytest.raises(SpecError) as caught:
        load()
    (found,) = caught.value.diagnostics
    return found


def targets(part):
    """Every target of a part, in order."""
    tokens = part.arrays["next"]
    lengths = part.lengths.get("next", np.full(len(tokens), tokens.shape[1]))
    return tokens[np.arange(tokens.shape[1]) < lengths[:, None]]


# ------------------------------------------------------------------------------ parts


def test_the_last_part_of_a_text_validates_and_each_of_its_characters_counts_once(file):
    data = source(text=str(file), length=10, validation=0.1, test=0).load()
    vocabulary = vocabulary_from(data.fitted["vocabulary"])
    validating = TEXT[-96:]
    assert data.test.size == 0
    assert vocabulary.decode(targets(data.validation)) == validating[1:]
    assert vocabulary.decode(data.train.arrays["text"][0]) == TEXT[:10]


def test_validation_comes_before_the_test(file):
    data = source(text=str(file), length=7, validation=0.25, test=0.5).load()
    vocabulary = vocabulary_from(data.fitted["vocabulary"])
    size = len(TEXT)
    assert vocabulary.decode(targets(data.validation)) == TEXT[size // 4 + 1:size // 2]
    assert vocabulary.decode(targets(data.test)) == TEXT[size // 2 + 1:]


def test_a_part_may_have_a_file_of_its_own(file, tmp_path):
    other = tmp_path / "other.txt"
    other.write_text("a dog on a mat", encoding="utf-8")
    it = source(text=str(file), length=4, validation=0, test=0, validation_file=str(other))
    data = it.load()
    vocabulary = vocabulary_from(data.fitted["vocabulary"])
    assert it.has("validation") and not it.has("test")
    assert vocabulary.decode(targets(data.validation)) == " dog on a mat"


def test_a_text_of_ones_own_in_place_of_a_named_one_fetches_nothing(file):
    it = source(dataset="tiny_shakespeare", text=str(file), length=10)
    assert it.load().fitted["vocabulary"]["tokens"] == source(
        text=str(file), validation=0.1, test=0).load().fitted["vocabulary"]["tokens"]


def test_parts_of_words_begin_with_whole_words(file):
    data = source(text=str(file), tokens="words", length=5, validation=0.13, test=0.17).load()
    vocabulary = vocabulary_from(data.fitted["vocabulary"])
    words = set(Words().split(TEXT))
    for part in (data.train, data.validation, data.test):
        assert set(vocabulary.decode(targets(part)).split()) <= words


def test_training_chunks_are_all_full():
    first, second, lengths = chunks(np.arange(1, 12, dtype=np.int32), 4, whole=True)
    assert lengths.tolist() == [4, 4, 4]
    assert first[-1].tolist() == [7, 8, 9, 10] and second[-1].tolist() == [8, 9, 10, 11]
    assert set(second.ravel()) == set(range(2, 12))


# ------------------------------------------------------------------------- vocabularies


@pytest.mark.parametrize("tokens", TOKENISERS, ids=str)
def test_a_stored_vocabulary_encodes_as_the_first_one_did(file, tokens):
    if "byte_pairs" in tokens:
        pytest.importorskip("tokenizers")
    it = source(text=str(file), tokens=tokens, length=8)
    data = it.load()
    vocabulary = vocabulary_from(data.fitted["vocabulary"])
    line = "the dog sat on the mat."
    assert vocabulary.decode(vocabulary.encode(line)).replace(" .", ".") == line
    assert data.fields["text"].vocabulary == vocabulary.size
    part = it.encode([line], data.fitted)
    assert part.arrays["text"][0].tolist() == vocabulary.encode(line)[-8:]


def test_the_vocabulary_has_the_most_frequent_tokens_and_leaves_0_to_the_others():
    vocabulary = Characters().fit(["abracadabra!"], 4)
    assert (vocabulary.size, vocabulary.tokens) == (4, ("a", "b", "r"))
    assert vocabulary.encode("bar!") == [2, 1, 3, 0]
    assert vocabulary.decode([2, 0]) == "b�"


def test_only_the_training_part_makes_the_vocabulary(tmp_path):
    path = tmp_path / "book.txt"
    path.write_text("a" * 90 + "z" * 10, encoding="utf-8")
    data = source(text=str(path), length=10, validation=0.1, test=0).load()
    assert data.fitted["vocabulary"]["tokens"] == ["a"]
    assert not data.validation.arrays["text"].any()


def test_words_keep_apostrophes_and_split_at_every_other_sign():
    assert Words().split("Don't stop, it's 3.5!") == [
        "Don't", "stop", ",", "it's", "3", ".", "5", "!"]
    assert Words(split_at="spaces", lowercase=True).split("Don't stop, NOW") == [
        "don't", "stop,", "now"]
    assert Words(minimum=2).fit(["a a b"], None).tokens == ("a",)


def test_byte_pairs_learn_as_many_tokens_as_asked_and_know_every_byte(file):
    pytest.importorskip("tokenizers")
    data = source(text=str(file), tokens="byte_pairs", vocabulary=270, length=8).load()
    vocabulary = vocabulary_from(data.fitted["vocabulary"])
    assert vocabulary.size <= 270
    assert vocabulary.decode(vocabulary.encode("żółw 🐢")) == "żółw 🐢"
    assert len(vocabulary.encode(TEXT)) < len(TEXT) / 2


def test_byte_pairs_take_half_a_character_as_json_may_hold_it():
    pytest.importorskip("tokenizers")
    vocabulary = BytePairs().fit(["half \ud800 of one"], 270)
    assert vocabulary.decode(vocabulary.encode("\udc80 of")) == "? of"


def test_byte_pairs_may_come_from_a_file_whose_size_must_fit(file, tmp_path):
    tokenizers = pytest.importorskip("tokenizers")
    path = tmp_path / "tokenizer.json"
    tokenizers.Tokenizer(tokenizers.models.BPE(
        vocab={"a": 0, "b": 1, "ab": 2}, merges=[("a", "b")])).save(str(path))
    it = source(text=str(file), tokens={"byte_pairs": str(path)}, length=8)
    assert it.load().fields["text"].vocabulary == 3
    small = source(text=str(file), tokens={"byte_pairs": str(path)}, length=8, vocabulary=2)
    found = complaint(small.load)
    assert found.code == "F0634" and "3 ids" in found.headline and "declares 2" in found.headline


# ------------------------------------------------------------------------------- errors


@pytest.mark.parametrize("content, code, words", [
    (None, "F0630", "does not exist"),
    (b"", "F0631", "is empty"),
    (b" \n ", "F0631", "is empty"),
    (b"fine\nna\xefve", "F0630", "is not UTF-8 text"),
])
def test_a_text_that_cannot_be_read_is_named(tmp_path, content, code, words):
    path = tmp_path / "book.txt"
    if content is not None:
        path.write_bytes(content)
    found = complaint(source(text=str(path)).load)
    assert found.code == code and "book.txt" in found.headline and words in found.headline


def test_the_line_of_a_wrong_byte_is_told(tmp_path):
    path = tmp_path / "book.txt"
    path.write_bytes(b"fine\nna\xefve")
    assert complaint(source(text=str(path)).load).notes == ("byte 7, in line 2, is 0xef",)


def test_a_folder_is_no_text(tmp_path):
    assert "is a folder" in complaint(source(text=str(tmp_path)).load).headline


def test_a_missing_text_names_those_beside_it(file):
    found = complaint(source(text=str(file.with_name("bok.txt"))).load)
    assert any("book.txt" in note for note in found.notes)


def test_a_damaged_tokenizer_file_is_told(file, tmp_path):
    pytest.importorskip("tokenizers")
    path = tmp_path / "tokenizer.json"
    path.write_text("{}")
    found = complaint(source(text=str(file), tokens={"byte_pairs": str(path)}).load)
    assert found.code == "F0630" and "tokenizer.json" in found.headline


def test_a_byte_order_mark_and_windows_line_ends_are_no_characters(tmp_path):
    path = tmp_path / "book.txt"
    path.write_bytes(b"\xef\xbb\xbf" + b"ab\r\n" * 30)
    data = source(text=str(path), length=4, validation=0, test=0).load()
    assert sorted(data.fitted["vocabulary"]["tokens"]) == ["\n", "a", "b"]
