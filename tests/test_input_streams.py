"""A stream that moves in time, from a data set's files to examples and whole tracks."""

from concurrent.futures import Future

import Input.preparation
import Input.streams
from Input.augmentation import UNCHANGED
from Input.device import Cache, drawn_arrays
from Input.examples import Excerpt, TrainingExamples
from Input.preparation import SourcePart, SourceTrack, prepare
from Input.prepared import Prepared
from Input.references import PreparedReferences
from Input.sources import Sources
from Input.streams import Kind

import numpy as np
import pytest
import soundfile

RATE_HZ, CLOCK_HZ, SAMPLES = 8_000, 50, 20_000
ROW_SAMPLES = RATE_HZ // CLOCK_HZ
EXCERPT = Excerpt(1_400, 1_000)


class Clock(Kind):
    """The number of each row, from 1 on, in the entry of the part's class."""

    meaning = "what time it is"
    frames_hz = 100.0

    def entries(self, sources):
        return len(sources.names)

    def rows(self, path):
        return np.loadtxt(path, ndmin=2), CLOCK_HZ

    def add(self, array, part):
        array[:, part.of_class] = part.frames("clock", len(array))[:, 0]


def here(call, jobs, *others):
    """As `in_parallel`, in this process."""
    for job in jobs:
        future = Future()
        try:
            future.set_result(call(*job))
        except (ValueError, FileNotFoundError) as error:
            future.set_exception(error)
        yield future


@pytest.fixture
def clock(monkeypatch):
    monkeypatch.setitem(Input.streams.CONTEXTS, "clock", Clock())
    monkeypatch.setattr(Input.preparation, "in_parallel", here)  # other processes do not know it


@pytest.fixture
def ramps(tmp_path, clock):
    """Tracks of one part, each sample of which is its own number; beside it a clock."""
    tracks = []
    for instrument in ("vc", "vn"):
        path = tmp_path / f"{instrument}.wav"
        soundfile.write(path, np.arange(SAMPLES, dtype=np.int16), RATE_HZ, subtype="PCM_16")
        np.savetxt(path.with_suffix(".txt"), np.arange(1, SAMPLES // ROW_SAMPLES + 1))
        part = SourcePart(1, instrument, path, others={"clock": path.with_suffix(".txt")})
        tracks.append(SourceTrack(instrument, "train", instrument, (part,)))
    return tracks


@pytest.fixture
def prepared(ramps, tmp_path):
    prepare(ramps, tmp_path / "prepared", sample_rate_hz=RATE_HZ, workers=1)
    return Prepared(tmp_path / "prepared")


def examples(prepared, targets="classes"):
    augmentation = UNCHANGED.model_copy(update={"speed": 0.7, "speed_range": (0.5, 2.0)})
    sources = Sources(("vc", "vn"), targets=targets)
    return TrainingExamples(prepared, prepared.split("train"), sources, EXCERPT, augmentation, 1, None, ["clock"])


@pytest.mark.parametrize("targets", ["classes", "parts"])
def test_what_moves_is_that_of_the_sound_at_each_moment_at_any_speed(prepared, targets):
    of = examples(prepared, targets)
    batch, outside, fast = of.batch(range(300)), 0, 0
    for number, mixture, context in zip(range(300), batch["mixture"], batch["clock"], strict=True):
        ((one,), frames) = of.draw(number), context[0] if targets == "parts" else context
        assert frames.shape == (18, 2) and not frames[:, 1 - of.class_of(one)].any()
        middles = ((np.arange(18) + 0.5) * EXCERPT.input_samples / 18).astype(int)
        sample = mixture[middles, 0] * 32_768
        rows, inside = frames[:, of.class_of(one)], (sample > 50) & (sample < SAMPLES - 50)
        assert np.abs(rows[inside] - (sample[inside] // ROW_SAMPLES + 1)).max() <= 1
        assert not rows[np.abs(sample) < 1e-3].any()  # silence beyond the ends
        outside, fast = outside + (np.abs(sample) < 1e-3).any(), fast + (one.treatment.step > 300)
    assert outside and fast
    np.testing.assert_array_equal(drawn_arrays(of, Cache(prepared, of.tracks), range(300), 1)["clock"], batch["clock"])


def test_a_whole_track_has_the_rows_of_its_file(prepared):
    (track, _) = prepared.split("train")
    known = PreparedReferences(prepared, (track,)).contexts(track, Sources(("vc", "vn")), ["clock"])
    rows = np.arange(1, SAMPLES // ROW_SAMPLES + 1)
    np.testing.assert_array_equal(known["clock"], np.stack([np.repeat(rows, 2), np.zeros(2 * len(rows))], axis=1))


def test_a_changed_file_is_prepared_again_and_one_that_is_gone_removed(ramps, prepared):
    def prepared_rows():
        prepare(ramps, prepared.root, sample_rate_hz=RATE_HZ, workers=1)
        return {path.parent.name: np.load(path).sum() for path in prepared.root.rglob("*.npy")}

    audio, before = prepared.root / "vn/1_vn.wav", prepared_rows()
    written_ns = audio.stat().st_mtime_ns
    assert before["vc"] == before["vn"] and audio.stat().st_mtime_ns == written_ns
    np.savetxt(ramps[0].parts[0].others["clock"], np.ones(3))
    assert prepared_rows() == {**before, "vc": 3} and audio.stat().st_mtime_ns == written_ns
    ramps[0].parts[0].others.clear()
    assert prepared_rows().keys() == {"vn"}


def test_a_stream_that_was_not_prepared_is_one_line(make_prepared, clock):
    with pytest.raises(ValueError, match=r"part 1 of a_vn has no stream clock; prepare the data set again") as mistake:
        examples(make_prepared({"a_vn": 3_000})).batch([0])
    assert "\n" not in str(mistake.value)


def test_a_file_that_is_missing_is_named(ramps, tmp_path):
    ramps[0].parts[0].others["clock"].unlink()
    with pytest.raises(ValueError, match=r"no such file: .*vc\.txt"):
        prepare(ramps, tmp_path / "prepared", sample_rate_hz=RATE_HZ, workers=1)
