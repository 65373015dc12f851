"""WAV folders: formats, manifests, padding, spectrograms, and what is wrong with others."""

import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError
from scipy.io import wavfile
from scipy.signal import chirp

from compiler.diagnostics import SpecError
from compiler.types import TensorType
from runtime.data import DataSource
from runtime.data.mel import filters, log_mel
from runtime.data.transcripts import joined
from runtime.data.wav import read_wav

RATE = 1000
RANDOM = np.random.default_rng(0)


def source(folder, **fields):
    return TypeAdapter(DataSource).validate_python(
        {"sounds": str(folder), "rate": RATE, **fields})


def recorded(folder, count=10, length=lambda number: 50 + number):
    """Two classes of recordings of different lengths."""
    for word in ("high", "low"):
        (folder / word).mkdir(parents=True, exist_ok=True)
        for number in range(count):
            sound = RANDOM.integers(-9000, 9000, length(number)).astype(np.int16)
            wavfile.write(folder / word / f"{number}.wav", RATE, sound)
    return folder


def complaint(folder, code, **fields):
    with pytest.raises(SpecError) as caught:
        source(folder, **fields).load()
    (found,) = caught.value.diagnostics
    assert found.code == code
    return "\n".join([found.headline, *found.notes, found.help])


# -------------------------------------------------------------------------------- reading


def test_sounds_are_padded_to_the_longest_and_know_their_lengths(tmp_path):
    data = source(recorded(tmp_path), validation=0.0, test=0.0).load()
    sounds, lengths = data.train.arrays["sound"], data.train.lengths["sound"]
    assert sounds.shape == (20, 59, 1) and sounds.dtype == np.int16
    assert data.fields["sound"] == TensorType(("time", "channels"), (59, 1))
    assert data.labels == {"label": ("high", "low")}
    for number in range(20):
        rate, sound = wavfile.read(tmp_path / data.train.called(number))
        assert lengths[number] == len(sound)
        np.testing.assert_array_equal(sounds[number, :len(sound), 0], sound)
        assert not sounds[number, len(sound):].any()


def test_a_declared_length_cuts_off_what_is_longer(tmp_path):
    it = source(recorded(tmp_path), seconds=0.055, validation=0.0, test=0.0)
    assert it.fields()["sound"].shape == (55, 1)
    data = it.load()
    assert data.train.arrays["sound"].shape == (20, 55, 1)
    assert data.train.lengths["sound"].max() == 55 and data.train.lengths["sound"].min() == 50


@pytest.mark.parametrize("kind, scale", [
    (np.uint8, 127), (np.int16, 32767), (np.int32, 2**31 - 1), (np.float32, 1), (np.float64, 1)])
def test_samples_of_every_kind_have_the_same_full_scale(tmp_path, kind, scale):
    wave = np.array([0, 0.5, -0.5, 0.25])
    values = wave * scale + (128 if kind is np.uint8 else 0)
    wavfile.write(tmp_path / "a.wav", RATE, np.round(values, 6 if scale == 1 else 0).astype(kind))
    rate, sound = read_wav(tmp_path / "a.wav")
    assert rate == RATE
    np.testing.assert_allclose(sound / 32768, wave, atol=1 / 128 if kind is np.uint8 else 1e-4)


def test_several_channels_become_their_mean(tmp_path):
    wavfile.write(tmp_path / "a.wav", RATE, np.array([[100, 300], [-100, 100]], np.int16))
    assert read_wav(tmp_path / "a.wav")[1].tolist() == [200, 0]


def test_normalising_leaves_padding_out(tmp_path):
    data = source(recorded(tmp_path), normalise="from training split").load()
    part = data.train
    real = np.concatenate([sound[:length, 0] for sound, length in zip(
        part.arrays["sound"], part.lengths["sound"])]) / 32768
    scale = data.normalise["sound"]
    np.testing.assert_allclose([scale.mean[0], scale.deviation[0]], [real.mean(), real.std()],
                               rtol=1e-6)


def test_new_recordings_are_encoded_as_those_of_the_training_part(tmp_path):
    it = source(recorded(tmp_path), seconds=0.07, log_mel={"bands": 4})
    data = it.load()
    part = it.encode([tmp_path / data.train.called(3)], data.fitted)
    np.testing.assert_array_equal(part.arrays["sound"][0], data.train.arrays["sound"][3])
    assert part.lengths["sound"][0] == data.train.lengths["sound"][3]


# ------------------------------------------------------------------------------- manifests


def test_a_manifest_names_classes_and_parts(tmp_path):
    recorded(tmp_path / "wavs", 3)
    rows = [f"{word}/{number}.wav,{word.upper()},{part}" for word in ("high", "low")
            for number, part in enumerate(("train", "val", "test"))]
    (tmp_path / "list.csv").write_text("\n".join(["file,label,part", *rows]))
    data = source(tmp_path / "wavs", manifest=str(tmp_path / "list.csv")).load()
    assert data.labels == {"label": ("HIGH", "LOW")}
    assert [data.train.size, data.validation.size, data.test.size] == [2, 2, 2]
    assert data.test.called(1) == "low/2.wav"


@pytest.mark.parametrize("text, code, said", [
    ("file,label\nhigh/9.wav,x\n", "F0633", "there is no file"),
    ("file,label\nhigh/0.wav,x\nhigh/0.wav,y\n", "F0633", "`high/0.wav` is listed twice"),
    ("file,label\nhigh/0.wav,\n", "F0633", "a recording without a label"),
    ("file,label,part\nhigh/0.wav,x,tset\n", "F0633", "`tset` is no part"),
    ("file,label,part\nhigh/0.wav,x,test\n", "F0631", "lists nothing to train on"),
    ("path,label\nhigh/0.wav,x\n", "F0632", "no column `file`")])
def test_a_wrong_manifest_is_told_with_its_line(tmp_path, text, code, said):
    recorded(tmp_path, 1)
    (tmp_path / "list.csv").write_text(text)
    assert said in complaint(tmp_path, code, manifest=str(tmp_path / "list.csv"))


# ----------------------------------------------------------------------------- spectrograms


def test_each_band_is_loudest_where_a_rising_tone_passes_it():
    time = np.arange(8000) / 8000
    sound = chirp(time, 50, 1, 3900)
    spectrum = log_mel(sound, 8000, 20, 0.032, 0.01)
    assert spectrum.shape == ((8000 - 256) // 80 + 1, 20) and spectrum.dtype == np.float32
    loudest = spectrum.argmax(axis=0)
    assert (np.diff(loudest) > 0).all()


def test_bands_are_triangles_that_add_up_to_one_between_the_outer_tops():
    table = filters(8000, 12, 4096)
    first, last = table[0].argmax(), table[-1].argmax()
    np.testing.assert_allclose(table[:, first:last].sum(axis=0), 1, atol=1e-9)
    assert table.min() == 0 and 0.98 < table.max(axis=1).min()


def test_a_sound_as_loud_again_is_log_4_higher_in_every_band():
    sound = RANDOM.normal(size=4000) * 0.1
    one, two = (log_mel(sound * factor, 8000, 10, 0.025, 0.01) for factor in (1, 2))
    np.testing.assert_allclose(two - one, np.log(4), atol=0.01)


def test_spectrograms_have_the_steps_that_are_declared(tmp_path):
    it = source(recorded(tmp_path), seconds=0.06, log_mel={"bands": 5, "window": 0.02})
    data = it.load()
    assert it.fields()["sound"].shape == (5, 5, 1) == data.train.arrays["sound"].shape[1:]
    expected = [(int(data.train.called(n)[-5]) + 50 - 20) // 10 + 1 for n in range(data.train.size)]
    assert data.train.lengths["sound"].tolist() == expected


# --------------------------------------------------------------------------------- errors


def test_broken_recordings_are_named_and_counted(tmp_path):
    recorded(tmp_path, 3)
    (tmp_path / "low" / "0.wav").write_bytes(b"")
    (tmp_path / "low" / "1.wav").write_text("hello")
    half = (tmp_path / "low" / "2.wav").read_bytes()
    (tmp_path / "low" / "2.wav").write_bytes(half[:70])
    (tmp_path / "high" / "0.wav").write_bytes(half[:16])
    text = complaint(tmp_path, "F0630")
    assert "high/0.wav: its head is damaged" in text
    assert "4 recordings in" in text and "low/0.wav: the file is empty" in text
    assert "low/1.wav: " in text and "low/2.wav: " in text


def test_another_rate_is_told_with_both(tmp_path):
    text = complaint(recorded(tmp_path, 3), "F0634", rate=8000)
    assert "has 1,000 samples a second, and the recipe declares 8,000" in text


def test_a_class_without_recordings_is_named(tmp_path):
    recorded(tmp_path, 3)
    (tmp_path / "none").mkdir()
    assert "the class `none`" in complaint(tmp_path, "F0631")


def test_the_same_recording_in_two_parts_is_an_error(tmp_path):
    recorded(tmp_path / "train", 3)
    recorded(tmp_path / "test", 3)
    (tmp_path / "test" / "low" / "9.wav").write_bytes(
        (tmp_path / "train" / "low" / "1.wav").read_bytes())
    text = complaint(tmp_path, "F0635", validation=0.0)
    assert "train/low/1.wav (train) is the same as test/low/9.wav (test)" in text


# ---------------------------------------------------------------------------- transcripts


def said(part, names):
    """The texts of a part."""
    return [joined([names[unit] for unit in row[:length]])
            for row, length in zip(part.arrays["text"], part.lengths["text"])]


def test_a_manifest_of_texts_gives_the_units_of_each(tmp_path):
    for number in range(4):
        wavfile.write(tmp_path / f"{number}.wav", RATE, np.ones(30 + number, np.int16))
    manifest = tmp_path / "texts.tsv"
    manifest.write_text("file\ttext\tpart\n0.wav\tTwo  cats\ttrain\n1.wav\tA cat\ttrain\n"
                        "2.wav\ttwo\tvalidation\n3.wav\t\ttest\n")
    options = {"manifest": str(manifest), "duplicates": "allow"}
    manifest.write_text(manifest.read_text().replace("3.wav\t\t", "3.wav\tcats a\t"))
    data = source(tmp_path, transcripts={"units": "words", "lower": True}, **options).load()
    assert data.labels["text"] == ("", "▁a", "▁cat", "▁cats", "▁two")
    assert data.fields["text"] == TensorType(("time",), ("text",), "int", vocabulary=5)
    assert said(data.train, data.labels["text"]) == ["a cat", "two cats"]
    assert said(data.test, data.labels["text"]) == ["cats a"]
    data = source(tmp_path, transcripts="characters", **options).load()
    assert said(data.train, data.labels["text"]) == ["A cat", "Two cats"]
    text = complaint(tmp_path, "F0671", transcripts="words", **options)
    assert "`two` in 2.wav" in text and "known: [...]" in text


def test_names_tell_the_class_and_the_part(tmp_path):
    for name in ("up_ann_0", "up_ann_5", "down_ann_1", "down_bob_7"):
        wavfile.write(tmp_path / f"{name}.wav", RATE, RANDOM.integers(-9, 9, 30).astype(np.int16))
    options = {"names": "{label}_*.wav", "parts": {"test": "*_[0-4].wav"}, "validation": 0}
    data = source(tmp_path, **options).load()
    assert data.labels["label"] == ("down", "up")
    assert list(data.train.names) == ["down_bob_7.wav", "up_ann_5.wav"]
    assert list(data.test.names) == ["down_ann_1.wav", "up_ann_0.wav"]
    wavfile.write(tmp_path / "noise.wav", RATE, np.ones(30, np.int16))
    assert "noise.wav" in complaint(tmp_path, "F0672", **options)


def test_strings_are_made_of_recordings_of_their_own_part(tmp_path):
    folder = recorded(tmp_path, count=12)
    it = source(folder, transcripts="words", validation=0.25, test=0.25, buckets=2,
                concatenate={"words": [1, 3], "count": 30, "pause": 0.01})
    data = it.load()
    alone = source(folder, validation=0.25, test=0.25).load()
    seen = set()
    for name in ("train", "validation", "test"):
        part, own = getattr(data, name), getattr(alone, name)
        whole = [row[:length, 0].tobytes() for row, length in zip(
            own.arrays["sound"], own.lengths["sound"])]
        # Cut as single recordings are, so that the parts of both are the same.
        sounds = part.arrays["sound"][np.arange(part.size)]
        names = [str(text) for text in part.names]
        assert said(part, data.labels["text"]) == names
        for row, length, text in zip(sounds, part.lengths["sound"], names):
            assert not row[length:].any()
            found = [piece for piece in whole if piece in row[:length].tobytes()]
            assert len(set(found)) <= len(text.split()) <= 3 and found
            seen |= {(name, piece) for piece in found}
    assert data.train.size == 30 and data.test.size == data.validation.size == 15
    assert len({piece for _, piece in seen}) == len(seen), "a recording is in two parts"
    assert len(data.train.buckets) == 2
    again = it.load().train.arrays["sound"]
    np.testing.assert_array_equal(again[3], data.train.arrays["sound"][3])
    np.testing.assert_array_equal(again.subset(np.array([3]))[0], again[3])
    # A recording by itself is no string, and as long as it is.
    one = it.encode([folder / "high" / "0.wav"], {})
    assert one.arrays["sound"].shape == (1, 50, 1)


@pytest.mark.parametrize("fields, wanted", [
    ({"concatenate": {"words": 2, "count": 4}}, "not one class"),
    ({"concatenate": {"words": [3, 2], "count": 4}, "transcripts": "words"}, "from 3 to 2"),
    ({"concatenate": {"words": 2, "count": 4}, "transcripts": "words", "log_mel": {}}, "log_mel"),
    ({"names": "*.wav"}, "where the class stands"), ({"parts": {"test": "*"}}, "goes with"),
    ({"transcripts": {"units": "words", "known": ["a b"]}}, "one word"),
])
def test_what_does_not_go_together_is_told(tmp_path, fields, wanted):
    with pytest.raises(ValidationError, match=wanted):
        source(tmp_path, **fields)


def test_the_synthesiser_says_the_same_for_ever():
    from runtime.data.synthetic_speech import WORDS, spoken
    from runtime.data.uniform import Uniform

    one, other = (spoken("ama", Uniform(5)) for _ in range(2))
    np.testing.assert_array_equal(one, other)
    assert 0.1 * 8000 < len(one) < 0.6 * 8000 and 2000 < np.abs(one.astype(int)).max() < 32767
    data = TypeAdapter(DataSource).validate_python(
        {"dataset": "synthetic_speech", "recordings": 5, "transcripts": "characters"}).load()
    assert data.train.size + data.validation.size + data.test.size == 50
    assert set(said(data.test, data.labels["text"])) <= set(WORDS)
