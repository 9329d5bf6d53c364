from fractions import Fraction
from pathlib import Path

from Input.instruments import INSTRUMENTS
from Input.pretraining.classes import (
    Classes,
    Segment,
    audioset_classes,
    audioset_segments,
    dequantised,
    youtube8m_classes,
)
from Input.pretraining.pipeline import audioset_embeddings, youtube8m_frames, youtube8m_videos

import numpy as np
import pytest
import tensorflow as tf

# Rows of AudioSet's class_labels_indices.csv under their true numbers; those between are filled up.
AUDIOSET = {
    0: ("/m/09x0r", "Speech"),
    137: ("/m/04rlf", "Music"),
    185: ("/m/01kcd", "Brass instrument"),
    186: ("/m/0319l", "French horn"),
    187: ("/m/07gql", "Trumpet"),
    188: ("/m/07c6l", "Trombone"),
    190: ("/m/02qmj0d", "String section"),
    191: ("/m/07y_7", '"Violin, fiddle"'),
    192: ("/m/0d8_n", "Pizzicato"),
    193: ("/m/01xqw", "Cello"),
    194: ("/m/02fsn", "Double bass"),
    195: ("/m/085jw", '"Wind instrument, woodwind instrument"'),
    196: ("/m/0l14j_", "Flute"),
    197: ("/m/06ncr", "Saxophone"),
    198: ("/m/01wy6", "Clarinet"),
    199: ("/m/03m5k", "Harp"),
}
HORN, TRUMPET, VIOLIN, CELLO = 186, 187, 191, 193
HEARD = {186: "hn", 187: "tpt", 188: "tbn", 191: "vn", 193: "vc", 194: "db", 196: "fl", 197: "sax", 198: "cl"}

SEGMENTS = """\
# Segments csv created Sun Mar  5 10:54:31 2017
# num_ytids=4, num_segs=4, num_unique_labels=6, num_positive_labels=8
# YTID, start_seconds, end_seconds, positive_labels
-0RWZT-miFs, 420.000, 430.000, "/m/09x0r,/m/04rlf"
--4gqARaEJE, 0.000, 10.000, "/m/04rlf,/m/07y_7,/m/01xqw"
#ABCDEFGHIJ, 7.000, 9.500, "/m/0319l"
0ABCDEFGHIJ, 30.000, 31.500, "/m/0319l"
1ABCDEFGHIJ, 0.000, 10.000, "/m/01kcd"
"""

VOCABULARY = """\
Index,TrainVideoCount,KnowledgeGraphId,Name,WikiUrl,Vertical1,Vertical2,Vertical3,WikiDescription
0,788288,/m/03bt1gh,Game,https://en.wikipedia.org/wiki/Game,Games,,,"A game is play, ""structured"",
and often undertaken for enjoyment."
1,5000,/m/0abc,,,(Unknown),,,
2,4000,/m/07y_7,Violin,https://en.wikipedia.org/wiki/Violin,Arts & Entertainment,,,"Also known as a fiddle, ..."
3,300,/m/02pprs,Alto saxophone,https://en.wikipedia.org/wiki/Alto_saxophone,Arts & Entertainment,,,
4,200,/m/07xm3,Viola,https://en.wikipedia.org/wiki/Viola,Arts & Entertainment,,,
"""


@pytest.fixture
def classes(tmp_path) -> Classes:
    return audioset_classes(index_file(tmp_path))


@pytest.fixture
def vocabulary(tmp_path) -> Classes:
    return youtube8m_classes(write(tmp_path / "vocabulary.csv", VOCABULARY))


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def index_file(folder: Path) -> Path:
    rows = [f"{n},{','.join(AUDIOSET.get(n, (f'/t/dd{n:05}', f'Class {n}')))}" for n in range(200)]
    return write(folder / "class_labels_indices.csv", "\n".join(["index,mid,display_name", *rows]) + "\n")


def label(*instruments: str) -> list[float]:
    return [float(one in instruments) for one in INSTRUMENTS]


# ---------------------------------------------------------------- records, as the data sets have them


def of_bytes(*values: bytes) -> tf.train.Feature:
    return tf.train.Feature(bytes_list=tf.train.BytesList(value=values))


def of_integers(*values: int) -> tf.train.Feature:
    return tf.train.Feature(int64_list=tf.train.Int64List(value=values))


def of_floats(*values: float) -> tf.train.Feature:
    return tf.train.Feature(float_list=tf.train.FloatList(value=values))


def sequence(context: dict, **lists: np.ndarray) -> bytes:
    frames = {
        key: tf.train.FeatureList(feature=[of_bytes(bytes(row)) for row in levels]) for key, levels in lists.items()
    }
    return tf.train.SequenceExample(
        context=tf.train.Features(feature=context), feature_lists=tf.train.FeatureLists(feature_list=frames)
    ).SerializeToString()


def clip(name: str, numbers: list[int], levels: np.ndarray | None = None, start: float = 30.0) -> bytes:
    """A record of AudioSet."""
    context = {
        "video_id": of_bytes(name.encode()),
        "start_time_seconds": of_floats(start),
        "end_time_seconds": of_floats(start + 10),
        "labels": of_integers(*numbers),
    }
    return sequence(context, audio_embedding=some_levels(10, 128) if levels is None else levels)


def frames(name: str, numbers: list[int], rgb: np.ndarray, audio: np.ndarray) -> bytes:
    """A record of YouTube-8M's frame level."""
    return sequence({"id": of_bytes(name.encode()), "labels": of_integers(*numbers)}, rgb=rgb, audio=audio)


def video(name: str, numbers: list[int], mean_rgb: np.ndarray, mean_audio: np.ndarray) -> bytes:
    """A record of YouTube-8M's video level."""
    features = {
        "id": of_bytes(name.encode()),
        "labels": of_integers(*numbers),
        "mean_rgb": of_floats(*mean_rgb),
        "mean_audio": of_floats(*mean_audio),
    }
    return tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString()


def some_levels(seconds: int, width: int) -> np.ndarray:
    return np.random.default_rng(seconds).integers(0, 256, (seconds, width)).astype(np.uint8)


def record_file(path: Path, *records: bytes) -> Path:
    with tf.io.TFRecordWriter(str(path)) as file:
        for record in records:
            file.write(record)
    return path


def closed_form(levels: np.ndarray) -> np.ndarray:
    """The oracle: q * 4 / 255 + 4 / 512 - 2, of rational numbers."""
    table = [float(Fraction(4 * q, 255) + Fraction(4, 512) - 2) for q in range(256)]
    return np.array(table, np.float32)[levels]


# ---------------------------------------------------------------- csv files


def test_audioset_s_classes_are_our_instruments_by_mid(classes):
    assert len(classes.ids) == 200
    assert classes.ids[191] == "/m/07y_7"
    assert (classes.labels.shape, classes.labels.dtype) == ((200, 13), np.float32)
    np.testing.assert_array_equal(classes.labels, [label(HEARD.get(n, "")) for n in range(200)])


def test_youtube8m_s_classes_are_our_instruments_by_name(vocabulary):
    assert vocabulary.ids == ("Game", "", "Violin", "Alto saxophone", "Viola")
    np.testing.assert_array_equal(vocabulary.labels, [label(), label(), label("vn"), label("sax"), label("va")])


def test_every_instrument_has_a_name_of_its_own(tmp_path):
    plain = "bassoon clarinet double_bass flute french_horn oboe saxophone tuba trombone trumpet viola cello violin"
    rows = [f"{n},1,/m/0,{name.replace('_', ' ').capitalize()}" for n, name in enumerate(plain.split())]
    text = "\n".join(["Index,TrainVideoCount,KnowledgeGraphId,Name", *rows])
    labels = youtube8m_classes(write(tmp_path / "v.csv", text)).labels
    np.testing.assert_array_equal(labels, np.eye(13))


def test_segments_are_those_with_our_instruments(tmp_path, classes):
    assert audioset_segments(write(tmp_path / "eval_segments.csv", SEGMENTS), classes) == [
        Segment("--4gqARaEJE", 0.0, 10.0, ("vc", "vn")),
        Segment("0ABCDEFGHIJ", 30.0, 31.5, ("hn",)),
    ]


@pytest.mark.parametrize(
    ("row", "fault"),
    [
        ("-0RWZT-miFs, 420.000, 430.000", "expected id, start, end"),
        ("-0RWZT-miFs, 420.000, 430.000, /m/09x0r,/m/04rlf", "expected id, start, end"),
        (', 0.000, 10.000, "/m/09x0r"', "expected id, start, end"),
        ('-0RWZT-miFs, soon, 430.000, "/m/09x0r"', "in seconds, received soon and 430.000"),
        ('-0RWZT-miFs, 430.000, 420.000, "/m/09x0r"', "in seconds, received 430.000 and 420.000"),
        ('-0RWZT-miFs, -1.0, 420.000, "/m/09x0r"', "in seconds, received -1.0"),
        ('-0RWZT-miFs, 0.0, inf, "/m/09x0r"', "in seconds, received 0.0 and inf"),
        ('-0RWZT-miFs, nan, 10.0, "/m/09x0r"', "in seconds, received nan"),
        ('-0RWZT-miFs, 0.000, 10.000, "/m/07y_7,/m/nonsense"', "unknown class '/m/nonsense'"),
        ('-0RWZT-miFs, 0.000, 10.000, ""', "unknown class ''"),
        ('-0RWZT-miFs, 0.000, 10.000, "/m/09x0r', "expected csv"),
    ],
)
def test_a_broken_segment_is_named_by_file_and_line(tmp_path, classes, row, fault):
    path = write(tmp_path / "eval_segments.csv", SEGMENTS + row + "\n")
    with pytest.raises(ValueError) as raised:
        audioset_segments(path, classes)
    (line,) = str(raised.value).splitlines()
    assert line.startswith(f"{path}, line 9: ")
    assert fault in line


def test_all_broken_segments_are_listed_up_to_twenty(tmp_path, classes):
    path = write(tmp_path / "s.csv", "\n".join(['a, 0.000, 1.000, "/m/07y_7"', *["a, 1"] * 25, "", "b, 2"]))
    with pytest.raises(ValueError) as raised:
        audioset_segments(path, classes)
    lines = str(raised.value).splitlines()
    assert [line.partition(": ")[0] for line in lines[:-1]] == [f"{path}, line {n}" for n in range(2, 22)]
    assert lines[-1] == "and 6 more"


def test_segments_without_our_instruments_are_an_error(tmp_path, classes):
    path = write(tmp_path / "s.csv", "\n".join(SEGMENTS.splitlines()[:4]))
    with pytest.raises(ValueError, match=f"{path}: none of its 1 segments has one of bn, cl, .* vn$"):
        audioset_segments(path, classes)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "line 1: expected the column index. Received: $"),
        ("index,name\n0,Cello\n", "line 1: expected the column mid. Received: index, name"),
        ("index,mid,display_name\n0,/m/01xqw,Cello\n1,/m/07y_7\n", "line 3: expected 3 cells, received 2"),
        ("index,mid,display_name\n0,/m/01xqw,Cello\n7,/m/07y_7,Violin\n", "line 3: expected class 1, received '7'"),
        ("index,mid,display_name\nx,/m/01xqw,Cello\n1,/m/07y_7,Violin\n", "line 2: expected class 0, received 'x'"),
        ("index,mid,display_name\n0,/m/09x0r,Speech\n", "none of its 1 classes is one of bn, cl"),
        ("index,mid,display_name\n", "none of its 0 classes is one of bn, cl"),
        ("index,mid,display_name\n0,/m/01xqw,C\xe9llo\n", "expected csv in UTF-8"),
    ],
)
def test_a_broken_class_index_is_named_by_file_and_line(tmp_path, text, fault):
    path = tmp_path / "class_labels_indices.csv"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(ValueError, match=fault) as raised:
        audioset_classes(path)
    assert len(str(raised.value).splitlines()) == 1
    assert str(raised.value).startswith(str(path))


def test_a_row_that_is_missing_is_one_fault_and_not_one_for_each_row_after_it(tmp_path):
    lines = index_file(tmp_path).read_text().splitlines()
    path = write(tmp_path / "cut.csv", "\n".join(lines[:50] + lines[51:]))
    with pytest.raises(ValueError, match=r"line 51: expected class 49, received '50'$"):
        audioset_classes(path)


def test_a_missing_csv_file_is_named(tmp_path, classes):
    for read in (audioset_classes, youtube8m_classes, lambda path: audioset_segments(path, classes)):
        with pytest.raises(FileNotFoundError, match=f"no such file: {tmp_path}/none.csv"):
            read(tmp_path / "none.csv")


# ---------------------------------------------------------------- features


def test_dequantised_is_the_closed_form():
    levels = np.arange(256, dtype=np.uint8)
    np.testing.assert_allclose(dequantised(levels.astype(np.float32)), closed_form(levels), rtol=0, atol=3e-7)


def test_dequantised_is_within_half_a_step_of_what_was_quantised():
    features = np.linspace(-2, 2, 100_001)
    levels = np.floor((features + 2) * 255 / 4)
    assert abs(dequantised(levels) - features)[:-1].max() <= 4 / 255 / 2 + 1e-4


def test_audioset_s_elements(tmp_path, classes):
    levels = np.resize(np.arange(256, dtype=np.uint8), (10, 128))
    records = [
        clip("speech_only", [0, 137]),
        clip("--4gqARaEJE", [137, VIOLIN, CELLO], levels, start=12.5),
        clip("no_labels__", []),
        clip("0ABCDEFGHIJ", [HORN], levels[:4]),
    ]
    elements = audioset_embeddings([record_file(tmp_path / "aa.tfrecord", *records)], classes)
    assert elements.element_spec == {
        "id": tf.TensorSpec((), tf.string),
        "start_seconds": tf.TensorSpec((), tf.float32),
        "end_seconds": tf.TensorSpec((), tf.float32),
        "audio": tf.TensorSpec((None, 128), tf.float32),
        "labels": tf.TensorSpec((13,), tf.float32),
    }
    strings, horn = elements.as_numpy_iterator()
    assert (strings["id"], strings["start_seconds"], strings["end_seconds"]) == (b"--4gqARaEJE", 12.5, 22.5)
    np.testing.assert_allclose(strings["audio"], closed_form(levels), rtol=0, atol=3e-7)
    np.testing.assert_array_equal(strings["labels"], label("vn", "vc"))
    assert (horn["id"], horn["start_seconds"], horn["end_seconds"]) == (b"0ABCDEFGHIJ", 30, 40)
    np.testing.assert_allclose(horn["audio"], closed_form(levels[:4]), rtol=0, atol=3e-7)
    np.testing.assert_array_equal(horn["labels"], label("hn"))


def test_youtube8m_s_elements_at_frame_level(tmp_path, vocabulary):
    rgb, audio = some_levels(300, 1024), some_levels(300, 128)
    records = [frames("AAAA", [0, 1], rgb, audio), frames("nXSc", [0, 4, 3], rgb, audio)]
    elements = youtube8m_frames([record_file(tmp_path / "train00.tfrecord", *records)], vocabulary)
    assert elements.element_spec == {
        "id": tf.TensorSpec((), tf.string),
        "rgb": tf.TensorSpec((None, 1024), tf.float32),
        "audio": tf.TensorSpec((None, 128), tf.float32),
        "labels": tf.TensorSpec((13,), tf.float32),
    }
    (one,) = elements.as_numpy_iterator()
    assert one["id"] == b"nXSc"
    np.testing.assert_allclose(one["rgb"], closed_form(rgb), rtol=0, atol=3e-7)
    np.testing.assert_allclose(one["audio"], closed_form(audio), rtol=0, atol=3e-7)
    np.testing.assert_array_equal(one["labels"], label("va", "sax"))


def test_youtube8m_s_elements_at_video_level(tmp_path, vocabulary):
    rgb, audio = closed_form(some_levels(1, 1024))[0], closed_form(some_levels(1, 128))[0]
    records = [video("AAAA", [], rgb, audio), video("BBBB", [2], rgb, audio), video("CCCC", [0], rgb, audio)]
    elements = youtube8m_videos([record_file(tmp_path / "train00.tfrecord", *records)], vocabulary)
    assert elements.element_spec == {
        "id": tf.TensorSpec((), tf.string),
        "mean_rgb": tf.TensorSpec((1024,), tf.float32),
        "mean_audio": tf.TensorSpec((128,), tf.float32),
        "labels": tf.TensorSpec((13,), tf.float32),
    }
    (one,) = elements.as_numpy_iterator()
    assert one["id"] == b"BBBB"
    np.testing.assert_array_equal(one["mean_rgb"], rgb)
    np.testing.assert_array_equal(one["mean_audio"], audio)
    np.testing.assert_array_equal(one["labels"], label("vn"))


def test_files_are_read_in_order_and_again_in_every_epoch(tmp_path, classes):
    paths = [tmp_path / f"{name}.tfrecord" for name in "cab"]
    long, short = some_levels(20_000, 128), some_levels(1, 128)  # the long ones take longer than those after them
    for file, path in enumerate(paths):
        clips = (clip(f"{file}{n}", [TRUMPET if n % 3 else 0], short if n % 10 else long) for n in range(1, 31))
        record_file(path, *clips)
    elements = audioset_embeddings(paths, classes)
    expected = [f"{file}{n}".encode() for file in range(3) for n in range(1, 31) if n % 3]
    for _ in range(2):
        assert [one["id"] for one in elements.as_numpy_iterator()] == expected


def test_videos_of_different_lengths_make_a_padded_batch(tmp_path, classes):
    path = record_file(tmp_path / "a.tfrecord", *(clip("a", [HORN], some_levels(n, 128)) for n in (3, 10)))
    (batch,) = audioset_embeddings([path], classes).padded_batch(2).as_numpy_iterator()
    assert batch["audio"].shape == (2, 10, 128)
    assert batch["labels"].shape == (2, 13)
    assert not batch["audio"][0, 3:].any()


# ---------------------------------------------------------------- broken records


@pytest.fixture
def sound(tmp_path) -> Path:
    return record_file(tmp_path / "sound.tfrecord", *(clip("a", [HORN]) for _ in range(3)))


@pytest.mark.parametrize("missing", [1, 4, 5, 500, "all but its header", "all but half its header"])
def test_a_file_cut_anywhere_in_its_last_record_is_named_at_once(tmp_path, classes, sound, missing):
    content, record = sound.read_bytes(), sound.stat().st_size // 3
    missing = {"all but its header": record - 12, "all but half its header": record - 6}.get(missing, missing)
    cut = tmp_path / "cut.tfrecord"
    cut.write_bytes(content[:-missing])
    with pytest.raises(ValueError) as raised:
        audioset_embeddings([sound, cut], classes)
    assert str(raised.value) == f"{cut} is cut short after {2 * record} of its {len(content) - missing} bytes"


def test_all_broken_files_are_listed_at_once(tmp_path, classes, sound):
    contents = {"page.tfrecord": b"<!DOCTYPE html> not found", "empty.tfrecord": b"", "cut.tfrecord": b"\x01"}
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError) as raised:
        audioset_embeddings([sound, *(tmp_path / name for name in contents)], classes)
    page, empty, cut = str(raised.value).splitlines()
    assert page == f"{tmp_path}/page.tfrecord is no TFRecord, or only a piece of one"
    assert empty == f"{tmp_path}/empty.tfrecord is empty"
    assert cut == f"{tmp_path}/cut.tfrecord is no TFRecord, or only a piece of one"


def test_missing_files_are_named(tmp_path, classes, sound):
    with pytest.raises(FileNotFoundError, match=f"no such file: {tmp_path}/none.tfrecord"):
        audioset_embeddings([sound, tmp_path / "none.tfrecord"], classes)
    with pytest.raises(FileNotFoundError, match="expected TFRecord files; received none"):
        audioset_embeddings([], classes)


def flipped(path: Path, at: int) -> Path:
    """A copy of a file with one bit the other way."""
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    (copy := path.with_name("flipped.tfrecord")).write_bytes(content)
    return copy


STRANGE = {
    "class": (clip("a", [HORN, 200]), "[classes 0 to 199 expected, received] [186 200]"),
    "negative class": (clip("a", [-1, HORN]), "[classes 0 to 199 expected, received] [-1 186]"),
    "width": (clip("a", [HORN], some_levels(4, 127)), "[4,127] is not compatible with expected shape [?,128]"),
    "list": (sequence({"video_id": of_bytes(b"a"), "labels": of_integers(HORN)}), "time_seconds"),
    "video level": (video("a", [HORN], np.zeros(1024), np.zeros(128)), "time_seconds"),
    "text": (b"a record of something else", "Invalid protocol message"),
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", STRANGE)
def test_a_strange_record_is_named_with_its_file(tmp_path, classes, sound, kind):
    record, fault = STRANGE[kind]
    strange = record_file(tmp_path / "strange.tfrecord", record)
    with pytest.raises(ValueError) as raised:
        audioset_embeddings([strange, sound], classes)
    (line,) = str(raised.value).splitlines()
    assert line.startswith(f"{strange}: ")
    assert fault in line
    assert "{{" not in line and "Op:" not in line and "terator" not in line
    elements = audioset_embeddings([sound, strange], classes).as_numpy_iterator()
    for _ in range(3):
        assert next(elements)["id"] == b"a"
    with pytest.raises(tf.errors.OpError) as later:
        next(elements)
    assert line in later.value.message


def test_a_flipped_bit_is_named_with_its_file(sound, classes):
    path = flipped(sound, 100)
    with pytest.raises(ValueError) as raised:
        audioset_embeddings([path], classes)
    assert str(raised.value) == f"{path}: corrupted record at 12"
    path = flipped(sound, sound.stat().st_size - 100)
    elements = audioset_embeddings([sound, path], classes)
    with pytest.raises(tf.errors.OpError, match=f"{path}: corrupted record"):
        list(elements)


def test_frames_of_sound_and_picture_that_are_not_as_many_are_an_error(tmp_path, vocabulary):
    path = record_file(tmp_path / "a.tfrecord", frames("a", [2], some_levels(4, 1024), some_levels(3, 128)))
    with pytest.raises(ValueError, match=f"^{path}: .*as many frames of each kind expected.* .4. .3.$"):
        youtube8m_frames([path], vocabulary)


def test_files_of_the_other_level_are_an_error(tmp_path, vocabulary):
    means = record_file(tmp_path / "means.tfrecord", video("a", [2], np.zeros(1024), np.zeros(128)))
    whole = record_file(tmp_path / "whole.tfrecord", frames("a", [2], some_levels(3, 1024), some_levels(3, 128)))
    with pytest.raises(ValueError, match=f"^{means}: .*Feature list '(rgb|audio)' is required"):
        youtube8m_frames([means], vocabulary)
    with pytest.raises(ValueError, match=f"^{whole}: .*mean_(rgb|audio) .*is required"):
        youtube8m_videos([whole], vocabulary)


def test_records_without_our_instruments_are_an_error(tmp_path, classes):
    paths = [record_file(tmp_path / f"{n}.tfrecord", clip("a", [0, 137]), clip("b", [])) for n in range(2)]
    with pytest.raises(ValueError, match=f"^none of 2 files from {paths[0]} on has one of bn, .* vn in it$"):
        audioset_embeddings(paths, classes)
