"""Shared takes, planted: which pairs are found, what is said of them, and what is no shared take."""

from collections.abc import Callable
from pathlib import Path

from Actions.doctor import landmarks as landmarks_module
from Actions.doctor.landmarks import NEIGHBOURS, landmarks, meetings
from Actions.doctor.shared_takes import Recording, SharedTake, shared_take, shared_takes
from Input.prepared import MANIFEST, Manifest, Prepared, Track

import numpy as np
import pytest
import soundfile
from data_sets import part_of

pytestmark = pytest.mark.slow

RATE_HZ = 4_000
SECONDS = 16
TIMES = np.arange(SECONDS * RATE_HZ)


def wave(seed: int, samples: np.ndarray = TIMES) -> np.ndarray:
    """A band-limited wave at any moments, in samples: whole or not, below 0 or beyond the end."""
    random = np.random.default_rng(seed)
    rates = random.uniform(0.05, 1.2, 80)  # radians a sample
    phases = random.uniform(0, 2 * np.pi, 80)
    return 250 * sum(np.sin(rate * samples + phase) for rate, phase in zip(rates, phases, strict=True))


def data_set(root: Path, tracks: dict[tuple[str, str, str], np.ndarray], channels: int = 1) -> Prepared:
    """A prepared data set of tracks of one part, from (name, split, group) and its samples, 16 bits."""
    rows = []
    for (name, split, group), samples in tracks.items():
        (root / name).mkdir(parents=True)
        file = f"{name}/1_vn.wav"
        pcm = np.rint(samples).astype(np.int16)
        soundfile.write(root / file, pcm, RATE_HZ, subtype="PCM_16")
        rows.append(Track(name=name, split=split, group=group, samples=len(pcm), parts=(part_of(root, file),)))
    manifest = Manifest(sample_rate_hz=RATE_HZ, channels=channels, tracks=tuple(rows))
    (root / MANIFEST).write_text(manifest.model_dump_json())
    return Prepared(root)


def recordings(prepared: Prepared) -> list[Recording]:
    return [Recording(track, part) for track in prepared.manifest.tracks for part in track.parts]


def marks(prepared: Prepared) -> list[np.ndarray]:
    return [landmarks(prepared, one.track, one.part) for one in recordings(prepared)]


def suspected(prepared: Prepared) -> list[tuple[int, int, int]]:
    checksums = [one.part.audio.sha256 for one in recordings(prepared)]
    return meetings(marks(prepared), checksums, range(len(checksums)))


def found_in(prepared: Prepared) -> list[SharedTake]:
    return shared_takes(prepared, recordings(prepared), marks(prepared), workers=1)


# ---------------------------------------------------------------- what is found

STEPS = np.random.default_rng(0).integers(-1, 2, len(TIMES))
HALF = len(TIMES) // 2
Change = Callable[[int], np.ndarray]
PLANTED: dict[str, tuple[Change, str, float, float, float]] = {
    # name: (what becomes of the wave of a seed, the kind, lag in samples, gain, share of the common extent)
    "identical": (lambda seed: wave(seed), "identical", 0, 1, 1),
    "quieter": (lambda seed: 0.55 * wave(seed), "scaled", 0, 0.55, 1),
    "louder": (lambda seed: 1.818 * wave(seed), "scaled", 0, 1.818, 1),
    "inverted": (lambda seed: -wave(seed), "inverted", 0, -1, 1),
    "upside_down": (lambda seed: -0.05 * wave(seed), "inverted, scaled", 0, -0.05, 1),
    "a_step": (lambda seed: np.rint(wave(seed)) + STEPS, "within one step of 16 bits", 0, 1, 1),
    "later": (lambda seed: np.r_[np.zeros(12_345), wave(seed)], "the same samples, shifted", 12_345, 1, 1),
    "earlier": (lambda seed: wave(seed)[7_891:], "the same samples, shifted", -7_891, 1, 1),
    "later_a_little": (lambda seed: wave(seed, TIMES - 0.375), "nearly the same, shifted", 0.375, 1, 1),
    "between_samples": (lambda seed: wave(seed, TIMES + 2_000.5), "nearly the same, shifted", -2_000.5, 1, 1),
    "first_half": (
        lambda seed: np.r_[wave(seed)[:HALF], wave(seed + 500)[HALF:]],
        "the same samples, in part",
        0,
        1,
        0.5,
    ),
    "second_half": (
        lambda seed: np.r_[wave(seed + 500)[: HALF + 999], 2 * wave(seed)[HALF:]],
        "scaled, shifted, in part",
        999,
        2,
        0.5,
    ),
}


@pytest.fixture(scope="module")
def planted(tmp_path_factory) -> dict[str, list[SharedTake]]:
    """By planted track, the pairs it is in. Each has an original of its own among the recordings of the training."""
    tracks = {}
    for seed, (name, (change, *_)) in enumerate(PLANTED.items()):
        tracks[f"of_{name}", "train", f"of_{name}"] = wave(seed)
        tracks[name, "validation", name] = change(seed)
    takes = found_in(data_set(tmp_path_factory.mktemp("planted"), tracks))
    return {
        name: [take for take in takes if name in (take.first.track.name, take.second.track.name)] for name in PLANTED
    }


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_take_is_found_once_and_told_apart(planted, name):
    _, kind, lag_samples, gain, share = PLANTED[name]
    [take] = planted[name]
    assert (take.first.track.name, take.second.track.name, take.across_splits) == (f"of_{name}", name, True)
    assert take.kind == kind
    assert take.lag_seconds * RATE_HZ == pytest.approx(lag_samples, abs=0.13)
    assert take.gain == pytest.approx(gain, rel=0.01)
    assert take.shared_seconds / take.common_seconds == pytest.approx(share, abs=0.1)


def test_a_pair_says_which_files_and_how_they_agree(planted):
    assert str(planted["later"][0]) == (
        "of_later/1_vn.wav (train) and later/1_vn.wav (validation) share a take: the same samples, shifted "
        "(lag +3.08625 s, gain +1.000, 16 of 16 s)"
    )


def test_takes_in_stereo_are_found_too(tmp_path):
    both = np.stack([wave(1), wave(2)], axis=1)
    prepared = data_set(
        tmp_path, {("a", "train", "a"): both, ("b", "test", "b"): 0.5 * both[5_000:], ("c", "test", "c"): both[::-1]}, 2
    )
    [take] = found_in(prepared)
    assert (take.first.track.name, take.second.track.name) == ("a", "b")
    assert take.lag_seconds * RATE_HZ == -5_000 and take.gain == pytest.approx(0.5, rel=0.01)


def test_a_group_in_one_split_may_share_and_nothing_else(tmp_path):
    rows = [("a", "train", "tune"), ("b", "train", "tune"), ("c", "train", "other"), ("d", "test", "tune")]
    takes = found_in(data_set(tmp_path, {row: wave(1) for row in rows}))
    pairs = [(take.first.track.name, take.second.track.name, take.across_splits) for take in takes]
    assert pairs == [("a", "d", True), ("b", "d", True), ("c", "d", True), ("a", "c", False), ("b", "c", False)]


def test_parts_of_one_track_are_not_compared(tmp_path):
    prepared = data_set(tmp_path, {("a", "train", "a"): wave(1)})
    [one] = recordings(prepared)
    assert shared_takes(prepared, [one, one], 2 * marks(prepared), workers=1) == []


def test_a_shift_of_half_a_sample_is_found_in_a_bright_sound(tmp_path):
    rates = np.random.default_rng(3).uniform(0.8, 1.2, 80)  # radians a sample: a few samples a period

    def bright(samples: np.ndarray) -> np.ndarray:
        return 250 * sum(np.sin(rate * (samples + 40 * rate)) for rate in rates)

    prepared = data_set(tmp_path, {("a", "train", "a"): bright(TIMES), ("b", "test", "b"): bright(TIMES + 2_000.5)})
    [take] = found_in(prepared)
    assert take.lag_seconds * RATE_HZ == pytest.approx(-2_000.5)


def test_equal_files_too_short_for_landmarks_are_found(tmp_path):
    short = wave(1)[:1_500]
    prepared = data_set(tmp_path, {("a", "train", "a"): short, ("b", "test", "b"): short})
    assert [take.kind for take in found_in(prepared)] == ["identical"]


def test_each_of_many_that_share_one_take_is_in_some_pair_but_not_all_pairs_are_compared(tmp_path):
    names = [f"{n:02}" for n in range(3 * NEIGHBOURS)]
    take = wave(1)[: 6 * RATE_HZ]
    prepared = data_set(tmp_path, {(name, "test", name): (n + 9) / 20 * take for n, name in enumerate(names)})
    pairs = suspected(prepared)
    assert {number for pair in pairs for number in pair[:2]} == set(range(len(names)))
    assert len(pairs) <= 1.2 * NEIGHBOURS * len(names)


# ---------------------------------------------------------------- what is none


def test_other_recordings_do_not_even_meet(tmp_path):
    assert suspected(data_set(tmp_path, {(str(n), "test", str(n)): wave(n) for n in range(20)})) == []


def test_a_passage_in_common_is_no_shared_take(tmp_path):
    """As two pieces that are rendered from one set of recorded notes."""
    passage = slice(3 * RATE_HZ, 6 * RATE_HZ)
    other = wave(2)
    other[passage] = wave(1)[passage]
    prepared = data_set(tmp_path, {("a", "train", "a"): wave(1), ("b", "test", "b"): other})
    assert suspected(prepared) == [(0, 1, 0)] and found_in(prepared) == []


def test_a_passage_long_enough_in_a_recording_much_longer_is_no_shared_take(tmp_path):
    once = wave(1, np.arange(40 * RATE_HZ))
    other = wave(2, np.arange(40 * RATE_HZ))
    other[: 8 * RATE_HZ] = once[: 8 * RATE_HZ]
    prepared = data_set(tmp_path, {("a", "train", "a"): once, ("b", "test", "b"): other})
    assert suspected(prepared) == [(0, 1, 0)] and found_in(prepared) == []


def test_ends_that_agree_are_no_shared_take(tmp_path):
    """All of the common extent, at this lag, but two seconds of sixteen."""
    cut = 14 * RATE_HZ
    prepared = data_set(
        tmp_path, {("a", "train", "a"): wave(1), ("b", "test", "b"): np.r_[wave(1)[cut:], wave(2)[:cut]]}
    )
    assert suspected(prepared) == [(0, 1, -cut)] and found_in(prepared) == []


def test_the_same_notes_at_levels_of_their_own_are_no_shared_take(tmp_path):
    levels = np.repeat(1.2 ** -np.arange(SECONDS), RATE_HZ)
    prepared = data_set(tmp_path, {("a", "train", "a"): wave(1), ("b", "test", "b"): levels * wave(1)})
    assert shared_take(prepared, *recordings(prepared), 0) is None


@pytest.mark.parametrize(
    "quiet", [np.zeros(2_000), np.full(2_000, 300), np.random.default_rng(0).integers(-40, 41, 2_000)]
)
def test_equal_files_without_a_sound_are_no_shared_take(tmp_path, quiet):
    prepared = data_set(tmp_path, {("a", "train", "a"): quiet, ("b", "test", "b"): quiet})
    assert shared_take(prepared, *recordings(prepared), 0) is None and found_in(prepared) == []


@pytest.mark.parametrize("lag_samples", [12_343, 12_347])
def test_a_comparison_bears_a_lag_two_samples_off(tmp_path, lag_samples):
    later = np.r_[np.zeros(12_345), wave(1)]
    prepared = data_set(tmp_path, {("a", "train", "a"): wave(1), ("b", "test", "b"): later})
    take = shared_take(prepared, *recordings(prepared), lag_samples)
    assert take is not None and take.lag_seconds * RATE_HZ == 12_345


@pytest.mark.parametrize("lag_samples", [-len(TIMES), len(TIMES), 2 * len(TIMES)])
def test_a_lag_at_which_nothing_is_in_common_is_no_shared_take(tmp_path, lag_samples):
    prepared = data_set(tmp_path, {("a", "train", "a"): wave(1), ("b", "test", "b"): wave(1)})
    assert shared_take(prepared, *recordings(prepared), lag_samples) is None


# ---------------------------------------------------------------- landmarks


def test_landmarks_move_with_the_wave_and_do_not_mind_level_and_polarity(tmp_path):
    changed = {"same": wave(1), "later": np.r_[np.zeros(777), wave(1)], "changed": -0.5 * np.rint(wave(1))}
    prepared = data_set(tmp_path, {(name, "test", name): samples for name, samples in changed.items()})
    same, later, scaled = marks(prepared)
    assert len(same) > 3 * SECONDS and same[0] >= 0 and same[-1] < len(TIMES)
    np.testing.assert_array_equal(np.setdiff1d(later, same + 777), [])
    assert len(np.intersect1d(scaled, same)) > 0.95 * len(same)


def test_landmarks_are_the_highest_within_a_tenth_of_a_second(tmp_path):
    clicks = np.zeros(RATE_HZ)
    for moment, level in {600: 9_000, 900: -10_000, 1_301: 8_000, 3_000: 200, 3_500: 100}.items():
        clicks[moment - 8 : moment + 9] += level * np.hanning(17)
    prepared = data_set(tmp_path, {("a", "test", "a"): clicks})
    assert marks(prepared)[0].tolist() == [900, 1_301, 3_000, 3_500]


@pytest.mark.parametrize("block_samples", [997, 4_000, 63_999])
def test_landmarks_do_not_depend_on_how_the_file_is_read(tmp_path, monkeypatch, block_samples):
    prepared = data_set(tmp_path, {("a", "test", "a"): wave(1)})
    [whole] = marks(prepared)
    monkeypatch.setattr(landmarks_module, "BLOCK_SAMPLES", block_samples)
    np.testing.assert_array_equal(marks(prepared)[0], whole)
