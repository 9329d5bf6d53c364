import subprocess
import sys
from pathlib import Path

from Input.augmentation import UNCHANGED, Augmentation
from Input.examples import DrawnPart, Excerpt, Mix, TrainingExamples, Windows
from Input.prepared import MANIFEST, Prepared
from Input.sources import Sources

import numpy as np
import pytest
import scipy.stats
import soundfile

ROOT = Path(__file__).resolve().parent.parent
NAMES = ("cl", "fl", "vc", "vn")
SOURCES = Sources(NAMES)
EXCERPT = Excerpt(input_samples=700, output_samples=300)
TRACKS = {"a_vn_vn_vc": 5_000, "b_fl_cl": 2_000, "c_vn_fl": 1_200}


@pytest.fixture
def prepared(make_prepared) -> Prepared:
    return make_prepared(TRACKS)


def training(prepared: Prepared, excerpt=EXCERPT, seed=1, mix=None, **augmentation) -> TrainingExamples:
    tracks = prepared.split("train")
    return TrainingExamples(
        prepared, tracks, SOURCES, excerpt, Augmentation(**UNCHANGED.model_dump() | augmentation), seed, mix
    )


def windows(prepared: Prepared, excerpt=EXCERPT) -> Windows:
    return Windows(prepared, prepared.split("train"), SOURCES, excerpt)


def gain_of(one: DrawnPart) -> float:
    return one.treatment.gain / 256


def audio(prepared: Prepared, one: DrawnPart, before: int, samples: int) -> np.ndarray:
    """The oracle: samples of the drawn part's file from `before` its start on, with zeros around."""
    whole, _ = soundfile.read(prepared.root / one.part.audio.file, dtype="float32", always_2d=True)
    around = np.zeros((samples, whole.shape[1]), np.float32)
    return np.concatenate([around, whole, around])[samples + one.start - before :][:samples] * np.float32(gain_of(one))


def assert_same(one, other) -> None:
    assert one.keys() == other.keys()
    for key in one:
        np.testing.assert_array_equal(one[key], other[key])


# ---------------------------------------------------------------- a training example is its files' samples


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("remix", [0.0, 1.0])
def test_an_example_is_what_was_drawn(make_prepared, channels, remix):
    prepared = make_prepared(TRACKS, channels=channels)
    examples = training(prepared, gain=(0.7, 1.0), remix=remix)
    for number in range(30):
        example = examples.example(number)
        mixture = np.zeros((700, channels), np.float32)
        expected, labels = np.zeros((300, 4, channels), np.float32), np.zeros(4)
        for one in examples.draw(number):
            mixture += audio(prepared, one, 200, 700)
            expected[:, NAMES.index(one.part.instrument)] += audio(prepared, one, 0, 300)
            labels[NAMES.index(one.part.instrument)] = 1
        np.testing.assert_allclose(example["mixture"], mixture, atol=1e-6)
        np.testing.assert_allclose(example["sources"], expected, atol=1e-6)
        np.testing.assert_array_equal(example["labels"], labels)
        np.testing.assert_array_equal(example["present"], labels)
        assert example.keys() == {"mixture", "sources", "present", "weight", "labels"} and example["weight"] == 1
        assert {array.dtype for array in example.values()} == {np.dtype(np.float32)}


@pytest.mark.parametrize("mix", [None, Mix(1, 3, same=True)])
def test_each_part_may_be_a_source(prepared, mix):
    """In the order in which they are drawn, with the label of its class each; places beyond them are empty."""
    sources = Sources(NAMES, targets="parts")
    tracks = prepared.split("train")
    examples = TrainingExamples(prepared, tracks, sources, EXCERPT, Augmentation(silence=0.4, gain=(1, 1)), 1, mix)
    counts = set()
    for number in range(30):
        example, drawn = examples.example(number), examples.draw(number)
        assert {name: array.shape for name, array in example.items()} == examples.shapes
        assert example["sources"].shape == (300, 3, 1) and example["labels"].shape == (3, 4)
        for place in range(3):
            one = drawn[place] if place < len(drawn) else None
            there = one is not None and one.treatment.gain != 0
            expected = audio(prepared, one, 0, 300) if there else np.zeros((300, 1))
            np.testing.assert_allclose(example["sources"][:, place], expected, atol=1e-6)
            assert example["present"][place] == there
            label = [float(there and name == one.part.instrument) for name in NAMES]
            assert example["labels"][place].tolist() == label
        counts.add(int(example["present"].sum()))
    assert counts == {1, 2, 3}


def test_sources_sum_to_the_middle_of_the_mixture(prepared):
    """Without gains exactly: samples of 16 bits sum in float32 without rounding."""
    for number in range(50):
        example = training(prepared).example(number)
        np.testing.assert_array_equal(example["sources"].sum(axis=1), example["mixture"][200:500])
        example = training(prepared, gain=(0.3, 1.7), remix=0.5).example(number)
        np.testing.assert_allclose(example["sources"].sum(axis=1), example["mixture"][200:500], atol=1e-6)


def test_labels_say_which_sources_have_a_part_be_it_at_rest(make_prepared):
    prepared = make_prepared({"a_vn_vc": 1_000})
    soundfile.write(prepared.root / "a_vn_vc/2_vc.wav", np.zeros(1_000, np.int16), 8_000)
    example = training(prepared).example(0)
    assert example["labels"].tolist() == [0, 0, 1, 1] and not example["sources"][:, 2].any()


def test_the_margin_beyond_the_ends_of_a_track_is_silence(make_prepared):
    prepared = make_prepared({"a_vn": 301})
    examples = training(prepared)
    starts = set()
    for number in range(20):
        (one,) = examples.draw(number)
        mixture = examples.example(number)["mixture"]
        first, last = 200 - one.start, 501 - one.start  # where the track lies in the mixture
        assert not mixture[:first].any() and not mixture[last:].any() and mixture[first:last].all(axis=1).mean() > 0.99
        starts.add(one.start)
    assert starts == {0, 1}


@pytest.mark.parametrize("samples", [1, 299, 300])
def test_a_track_shorter_than_an_excerpt_ends_in_silence(make_prepared, samples):
    prepared = make_prepared({"a_vn_vc": samples})
    examples = training(prepared)
    whole = prepared.sources(prepared.split("train")[0], SOURCES)
    for number in range(5):
        example = examples.example(number)
        np.testing.assert_array_equal(example["sources"][:samples], whole)
        assert not example["sources"][samples:].any() and example["labels"].tolist() == [0, 0, 1, 1]


# ---------------------------------------------------------------- which example a number is


def test_an_example_depends_on_seed_and_number_alone(prepared):
    forwards = training(prepared, gain=(0.5, 1.0), remix=0.5)
    first = [forwards.example(number) for number in range(20)]
    backwards = training(Prepared(prepared.root), gain=(0.5, 1.0), remix=0.5)
    for number in reversed(range(20)):
        assert_same(backwards.example(number), first[number])
        assert_same(backwards.example(number), first[number])


def test_another_process_draws_the_same(prepared):
    code = f"""
from Input.examples import *
from Input.prepared import MANIFEST, Prepared
from Input.sources import Sources
prepared = Prepared({str(prepared.root)!r})
augmentation = Augmentation(gain=(0.5, 1.0), remix=0.5)
examples = TrainingExamples(prepared, prepared.split("train"), Sources({NAMES}), Excerpt(700, 300), augmentation, 1)
for number in (10**12, 7, 3):
    print([(one.track.name, one.part.number, one.start, one.treatment.gain) for one in examples.draw(number)])
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    examples = training(prepared, gain=(0.5, 1.0), remix=0.5)
    for number, line in zip((10**12, 7, 3), done.stdout.splitlines(), strict=True):
        drawn = [(one.track.name, one.part.number, one.start, one.treatment.gain) for one in examples.draw(number)]
        assert str(drawn) == line


def test_other_numbers_and_other_seeds_are_other_examples(make_prepared):
    prepared = make_prepared({"a_vn": 1_000_000})
    drawn = {training(prepared, seed=seed).draw(number)[0].start for seed in range(20) for number in range(20)}
    assert len(drawn) > 395  # of 400; few meet by chance


# ---------------------------------------------------------------- what chance does


def test_every_moment_of_every_track_is_drawn_alike(make_prepared):
    """Tracks are so weighted by their length; the first and the last samples are reached."""
    lengths = {"a_vn": 420, "b_vc": 340, "c_vn_fl": 500, "d_fl": 20}
    counts = {name: np.zeros(max(1, samples - 299)) for name, samples in lengths.items()}
    examples = training(make_prepared(lengths))
    for number in range(8_000):
        one = examples.draw(number)[0]
        counts[one.track.name][one.start] += 1
    assert scipy.stats.chisquare(np.concatenate(list(counts.values()))).pvalue > 1e-3
    assert all(count[0] > 0 and count[-1] > 0 for count in counts.values())


def test_parts_of_a_track_keep_together(prepared):
    examples = training(prepared, gain=(0.7, 1.0))
    for number in range(100):
        drawn = examples.draw(number)
        assert tuple(one.part for one in drawn) == drawn[0].track.parts
        assert len({(one.track.name, one.start) for one in drawn}) == 1


def test_gains_are_even_in_their_range_and_each_part_has_its_own(prepared):
    examples = training(prepared, gain=(0.7, 1.0))
    drawn = [[gain_of(one) for one in examples.draw(number)] for number in range(2_000)]
    counts = np.bincount(np.rint(256 * np.concatenate(drawn)).astype(int), minlength=257)[180:256]  # whole steps inside
    assert scipy.stats.chisquare(counts).pvalue > 1e-3 and counts.sum() > 0.97 * sum(map(len, drawn))
    assert np.mean([len(set(gains)) == len(gains) for gains in drawn]) > 0.95
    assert {gain_of(one) for number in range(50) for one in training(prepared).draw(number)} == {1.0}


def test_remixing_keeps_the_instruments_and_changes_tracks_and_moments(prepared):
    examples = training(prepared, remix=1.0)
    lineups, tracks, starts = set(), {}, {name: [] for name in TRACKS}
    for number in range(6_000):
        drawn = examples.draw(number)
        lineups.add(tuple(one.part.instrument for one in drawn))
        for one in drawn:
            assert one.part in one.track.parts
            tracks.setdefault(one.part.instrument, set()).add((one.track.name, one.part.number))
            starts[one.track.name].append(one.start)
    assert lineups == {("vn", "vn", "vc"), ("fl", "cl"), ("vn", "fl")}
    assert tracks["vn"] == {("a_vn_vn_vc", 1), ("a_vn_vn_vc", 2), ("c_vn_fl", 1)}
    assert tracks["fl"] == {("b_fl_cl", 1), ("c_vn_fl", 2)}
    for name, drawn in starts.items():
        assert scipy.stats.chisquare(np.histogram(drawn, 20, (0, TRACKS[name] - 300 + 1))[0]).pvalue > 1e-3


@pytest.mark.parametrize("remix", [0.0, 0.3])
def test_so_many_examples_are_remixed(make_prepared, remix):
    prepared = make_prepared({"a_vn_vc": 100_000, "b_vn_vc": 100_000})
    examples = training(prepared, remix=remix)
    remixed = sum(len({one.start for one in examples.draw(number)}) == 2 for number in range(2_000))
    assert scipy.stats.binomtest(remixed, 2_000, remix).pvalue > 1e-3


# ---------------------------------------------------------------- mix-and-separate

SOLOS = {"a_vn": 900, "b_vn": 400, "c_vc": 700, "d_fl": 500, "e_fl": 301, "f_cl": 1_500}


@pytest.mark.parametrize("same", [False, True])
def test_a_mix_is_of_as_many_recordings_as_wanted_each_number_alike(make_prepared, same):
    examples = training(make_prepared(SOLOS), mix=Mix(2, 4, same))
    drawn = [examples.draw(number) for number in range(3_000)]
    assert scipy.stats.chisquare(np.bincount([len(parts) for parts in drawn])[2:]).pvalue > 1e-3
    assert examples.most_parts == 4 == max(map(len, drawn))
    alike = 0
    for parts in drawn:
        assert len({one.track.name for one in parts}) == len(parts)
        alike += len({one.part.instrument for one in parts}) < len(parts)
    assert alike > 300 if same else not alike


def test_a_mix_takes_instruments_alike_then_their_recordings_then_their_moments(make_prepared):
    examples = training(make_prepared(SOLOS), mix=Mix(1, 3))
    drawn = [one for number in range(4_000) for one in examples.draw(number)]
    shares = {"a_vn": 1 / 8, "b_vn": 1 / 8, "c_vc": 1 / 4, "d_fl": 1 / 8, "e_fl": 1 / 8, "f_cl": 1 / 4}
    for name, share in shares.items():
        count = sum(one.track.name == name for one in drawn)
        assert scipy.stats.binomtest(count, len(drawn), share).pvalue > 1e-3, name
    for name, samples in SOLOS.items():
        starts = [one.start for one in drawn if one.track.name == name]
        bins = min(20, samples - 299)
        assert scipy.stats.chisquare(np.histogram(starts, bins, (0, samples - 299))[0]).pvalue > 1e-3
    moments = [[one.start for one in examples.draw(number)] for number in range(200)]
    assert all(len(set(starts)) == len(starts) for starts in moments if min(starts) > 1)  # each at its own


def test_a_mix_holds_the_samples_of_its_parts(make_prepared):
    prepared = make_prepared(SOLOS)
    examples = training(prepared, mix=Mix(2, 4), gain=(0.7, 1.0))
    for number in range(30):
        example = examples.example(number)
        parts = examples.draw(number)
        np.testing.assert_allclose(example["mixture"], sum(audio(prepared, one, 200, 700) for one in parts), atol=1e-6)
        for one in parts:
            source = example["sources"][:, NAMES.index(one.part.instrument)]
            np.testing.assert_allclose(source, audio(prepared, one, 0, 300), atol=1e-6)
        present = {one.part.instrument for one in parts}
        assert example["labels"].tolist() == [float(name in present) for name in NAMES]


def test_a_mix_never_takes_two_parts_of_one_recording(prepared):
    """Where pieces have several parts, and two tracks are takes of one composition."""
    manifest = prepared.manifest
    tracks = [track.model_copy(update={"group": track.name[0]}) for track in manifest.tracks]
    take = tracks[0].model_copy(update={"name": "another take"})
    manifest = manifest.model_copy(update={"tracks": (*tracks, take)})
    (prepared.root / MANIFEST).write_text(manifest.model_dump_json())
    examples = training(Prepared(prepared.root), mix=Mix(3, 3, same=True))
    takes = set()
    for number in range(200):
        drawn = examples.draw(number)
        assert sorted(one.track.group for one in drawn) == ["a", "b", "c"]
        takes |= {one.track.name for one in drawn if one.track.group == "a"}
    assert takes == {tracks[0].name, "another take"}


@pytest.mark.parametrize(
    "mix, message",
    [
        (Mix(2, 7, same=True), "expected 7 recordings to mix. Received: 6, of vn, vc, fl, cl; lower data.mix"),
        (Mix(2, 5), "expected 5 recordings of different instruments to mix. Received: 6, of vn, vc, fl, cl"),
    ],
)
def test_a_mix_of_more_than_there_are_is_one_line(make_prepared, mix, message):
    with pytest.raises(ValueError, match=message) as stop:
        training(make_prepared(SOLOS), mix=mix)
    assert "\n" not in str(stop.value)


# ---------------------------------------------------------------- tracks of so many parts


def test_a_split_can_be_narrowed_to_tracks_of_so_many_parts(make_prepared):
    prepared = make_prepared({"a_vn_vn_vc": 400, "b_fl_cl": 400, "c_vn": 400, "d_vc_vn": 400})

    def names(*parts: int) -> list[str]:
        return [track.name for track in prepared.split("train", parts)]

    assert names() == ["a_vn_vn_vc", "b_fl_cl", "c_vn", "d_vc_vn"]
    assert names(2) == ["b_fl_cl", "d_vc_vn"]
    assert names(3, 1) == names(1, 3, 5) == ["a_vn_vn_vc", "c_vn"]
    with pytest.raises(ValueError, match="no track of the split 'train' has 4 or 5 parts; they have: 1, 2, 3"):
        names(4, 5)
    with pytest.raises(ValueError, match="has no track in the split 'test'; it has: train"):
        prepared.split("test", (2,))


# ---------------------------------------------------------------- windows


@pytest.mark.parametrize("channels", [1, 2])
def test_windows_cover_every_sample_once(make_prepared, channels):
    prepared = make_prepared({"a_vn_vn_vc": 1_000, "b_fl_cl": 900, "c_vn_fl": 1}, channels=channels)
    tracks = windows(prepared)
    assert len(tracks) == 4 + 3 + 1
    pieces = iter([tracks.example(number) for number in range(len(tracks))])
    for track, count in zip(prepared.split("train"), (4, 3, 1), strict=True):
        of_track = [next(pieces) for _ in range(count)]
        rebuilt = np.concatenate([one["sources"] for one in of_track])
        np.testing.assert_array_equal(rebuilt[: track.samples], prepared.sources(track, SOURCES))
        assert not rebuilt[track.samples :].any()
        mixture = np.concatenate([one["mixture"][200:500] for one in of_track])
        np.testing.assert_array_equal(mixture, rebuilt.sum(axis=1))
        for one in of_track:
            assert one["labels"].tolist() == [float(name in track.instruments) for name in NAMES]


def test_a_windows_margin_is_the_track_around_it_and_silence_beyond(make_prepared):
    prepared = make_prepared({"a_vn": 1_000})
    whole = soundfile.read(prepared.root / "a_vn/1_vn.wav", dtype="float32", always_2d=True)[0]
    padded = np.concatenate([np.zeros((200, 1)), whole, np.zeros((600, 1))])
    for number in range(4):
        mixture = windows(prepared).example(number)["mixture"]
        np.testing.assert_array_equal(mixture, padded[300 * number : 300 * number + 700])


# ---------------------------------------------------------------- what is wrong


@pytest.mark.parametrize("of", [training, windows])
def test_an_instrument_without_a_source_is_one_line(make_prepared, of):
    prepared = make_prepared({"a_vn_vc": 500, "b_vn_tuba": 500})
    with pytest.raises(
        ValueError, match="b_vn_tuba: instrument 'tuba' is not among the sources cl, fl, vc, vn"
    ) as stop:
        of(prepared)
    assert "\n" not in str(stop.value)
