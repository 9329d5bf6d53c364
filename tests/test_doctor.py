"""What the doctor says of data sets that are healthy, and of each illness planted in one."""

import itertools
import shutil
from pathlib import Path

from Actions.doctor import Diagnosis, examine, loudness, require_trainable
from Actions.doctor.inventory import SourceRow, SplitRow, source_rows
from Actions.doctor.loudness import ever_plays, full_scale_runs, playing_frames
from Input.prepared import AUDIO, MANIFEST, Manifest, Part, Prepared, Track
from Input.sources import Sources

import numpy as np
import pytest
import soundfile
from data_sets import part_of

RATE_HZ = 1_000
FLOOR = 32.768  # -60 dBFS in steps of 16 bits


def sound(seconds: float, seed: int, level: float = 2_000) -> np.ndarray:
    return level * np.random.default_rng(seed).standard_normal(round(seconds * RATE_HZ)).clip(-4, 4)


def silence(seconds: float) -> np.ndarray:
    return np.zeros(round(seconds * RATE_HZ))


def data_set(root: Path, tracks: list[tuple[str, str, dict[str, np.ndarray]]], channels: int = 1) -> Prepared:
    """From (split, name of track and group, samples by `<number>_<instrument>`); number 0 is a recorded mixture."""
    rows = []
    for split, name, stems in tracks:
        (root / name).mkdir(parents=True)
        parts = [_part(root, f"{name}/{stem}.wav", samples) for stem, samples in stems.items()]
        rows.append(
            Track(
                name=name,
                split=split,
                group=name,
                samples=len(next(iter(stems.values()))),
                parts=tuple(part for part in parts if part.number),
                streams=next((part.streams for part in parts if not part.number), {}),
            )
        )
    return rewritten(root, Manifest(sample_rate_hz=RATE_HZ, channels=channels, tracks=tuple(rows)))


def _part(root: Path, file: str, samples: np.ndarray) -> Part:
    soundfile.write(root / file, np.rint(samples).astype(np.int16), RATE_HZ, subtype="PCM_16")
    return part_of(root, file)


def of_rate(part: Part, rate_hz: int) -> Part:
    origin = part.audio.origin.model_copy(update={"rate_hz": rate_hz})
    return part.model_copy(update={"streams": {AUDIO: part.audio.model_copy(update={"origin": origin})}})


def rewritten(root: Path, manifest: Manifest) -> Prepared:
    (root / MANIFEST).write_text(manifest.model_dump_json())
    return Prepared(root)


def healthy() -> list[tuple[str, str, dict[str, np.ndarray]]]:
    """Three splits; the violins of `a` play by turns and rest together for four seconds of twelve."""
    first, second = sound(12, 1), sound(12, 2)
    first[:6_000], second[4_000:10_000] = 0, 0
    second[:2_000] = 0
    first[10_000:] = 0
    return [
        ("test", "t", {"1_fl": sound(6, 3)}),
        ("train", "a", {"1_vn": first, "2_vn": second, "3_fl": sound(12, 4)}),
        ("train", "b", {"1_fl": sound(6, 5), "2_cl": sound(6, 6), "0_mixture": sound(6, 7)}),
        ("train", "c", {"1_fl": sound(6, 8), "2_cl": sound(6, 9)}),
        ("validation", "v", {"1_vn": sound(3, 10)}),
    ]


@pytest.fixture(scope="module")
def sound_set(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("healthy") / "prepared"
    data_set(root, healthy())
    return root


@pytest.fixture(scope="module")
def diagnosis(sound_set) -> Diagnosis:
    return examine(sound_set, workers=1)


def one_part(root: Path, samples: np.ndarray) -> tuple[Prepared, Track, Part]:
    channels = samples.shape[1] if samples.ndim == 2 else 1
    prepared = data_set(root, [("train", "a", {"1_vn": samples})], channels)
    track = prepared.manifest.tracks[0]
    return prepared, track, track.parts[0]


# ---------------------------------------------------------------- when a part plays


def test_a_frame_plays_above_60_db_below_full_scale(tmp_path):
    levels = [FLOOR * 1.02, FLOOR * 0.98, 0, 20_000, 2]
    square = np.concatenate([np.tile([level, -level], RATE_HZ // 2) for level in levels])  # its rms is its level
    assert playing_frames(*one_part(tmp_path, square)).tolist() == [True, False, False, True, False]


def test_the_last_frame_is_as_short_as_what_is_left(tmp_path):
    samples = np.append(silence(1), [45, -45])  # loud for two samples, nothing if spread over a second
    assert playing_frames(*one_part(tmp_path, samples)).tolist() == [False, True]


def test_frames_do_not_depend_on_how_the_file_is_read(tmp_path, monkeypatch):
    levels = np.repeat(np.random.default_rng(0).integers(0, 2, 100), RATE_HZ)
    place = one_part(tmp_path, np.stack([levels * sound(100, 1), silence(100)], axis=1))
    whole = playing_frames(*place)
    np.testing.assert_array_equal(whole, levels[::RATE_HZ])
    monkeypatch.setattr(loudness, "FRAMES_PER_READ", 7)
    np.testing.assert_array_equal(playing_frames(*place), whole)


@pytest.mark.parametrize("second", [0, 13, 39])
def test_a_single_second_of_sound_is_found_wherever_it_is(tmp_path, second):
    samples = silence(39.5)
    samples[second * RATE_HZ :][: RATE_HZ // 2] = 100
    assert ever_plays(*one_part(tmp_path / "a", samples))
    assert not ever_plays(*one_part(tmp_path / "b", np.minimum(samples, 20)))


@pytest.mark.parametrize("channels", [1, 2])
def test_runs_at_full_scale_are_those_that_a_loop_counts(tmp_path, monkeypatch, channels):
    monkeypatch.setattr(loudness, "FRAMES_PER_READ", 1)
    random = np.random.default_rng(channels)
    samples = random.choice([-32_768, -32_767, 32_767, 32_766, 5], (5_500, channels), p=[0.3, 0.2, 0.3, 0.1, 0.1])
    samples[1_990:4_010] = 32_767  # a run over more than a whole block
    samples[4_990:5_000], samples[5_000] = 32_767, 5  # a run that ends with a block
    samples[-3:] = -32_768
    full = (np.abs(samples) >= 32_767).any(axis=1)
    expected = [len(list(run)) for is_full, run in itertools.groupby(full) if is_full]
    assert full_scale_runs(*one_part(tmp_path, samples)).tolist() == expected


def test_nothing_at_full_scale_is_no_run(tmp_path):
    assert full_scale_runs(*one_part(tmp_path, np.full(2_500, 32_766))).tolist() == []


# ---------------------------------------------------------------- a healthy data set


def test_a_healthy_data_set_has_neither_faults_nor_leaks_nor_remarks(diagnosis):
    assert (diagnosis.faults, diagnosis.leaks, diagnosis.remarks, diagnosis.shared) == ([], [], [], [])
    assert diagnosis.rates_hz == {RATE_HZ: 9}


def test_splits_are_counted_and_the_needed_ones_come_first(diagnosis):
    assert diagnosis.splits == [
        SplitRow("train", tracks=3, groups=3, minutes=24 / 60, ensembles={2: 2, 3: 1}),
        SplitRow("validation", tracks=1, groups=1, minutes=3 / 60, ensembles={1: 1}),
        SplitRow("test", tracks=1, groups=1, minutes=6 / 60, ensembles={1: 1}),
    ]


def test_each_source_is_counted_in_each_split_and_two_violins_are_one(diagnosis):
    rows = {(row.split, row.source): row for row in diagnosis.sources}
    assert list(rows) == [(split, source) for split in ("train", "validation", "test") for source in ("cl", "fl", "vn")]
    # of twelve seconds the first violin plays four, the second four others
    assert rows["train", "vn"] == SourceRow("train", "vn", 1, 1 / 3, 2, 12 / 60, 8 / 12, 8 / 24)
    assert rows["train", "cl"] == SourceRow("train", "cl", 2, 2 / 3, 2, 12 / 60, 1.0, 12 / 24)
    assert rows["train", "fl"] == SourceRow("train", "fl", 3, 1.0, 3, 24 / 60, 1.0, 1.0)
    assert rows["test", "vn"] == SourceRow("test", "vn", 0, 0.0, 0, 0.0, 0.0, 0.0)


def test_parts_that_play_together_count_once(sound_set):
    prepared = Prepared(sound_set)
    frames = {"a/1_vn.wav": np.array([1, 1, 0, 0], bool), "a/2_vn.wav": np.array([0, 1, 1, 0], bool)}
    [row] = [row for row in source_rows(prepared, frames) if (row.split, row.source) == ("train", "vn")]
    assert row.playing_in_its_tracks == 3 / 4


def test_progress_is_told_track_by_track(sound_set):
    calls = []
    examine(sound_set, workers=2, progress=lambda done, total: calls.append((done, total)))
    assert calls == [(n, 5) for n in range(1, 6)]


# ---------------------------------------------------------------- illnesses


@pytest.fixture(scope="module")
def ill(tmp_path_factory) -> tuple[Path, Diagnosis]:
    root = tmp_path_factory.mktemp("ill") / "prepared"
    clipped, peak = sound(12, 20), sound(12, 21)
    clipped[[100, 101, 102, 500, 501, 502, 503, 700]], peak[50] = 32_767, 32_767
    parts = {
        "1_vn": clipped,
        "2_fl": peak,
        "3_cl": silence(12),
        "4_ob": sound(12, 22),
        "5_ob": sound(12, 22),
        "6_cl": silence(12),
    }
    tracks = [
        ("train", "a", parts),
        ("train", "copy", {"1_fl": sound(12, 23)}),
        ("train", "copied", {"1_fl": sound(12, 23)}),
        ("validation", "v", {"1_cl": 0.5 * sound(12, 22), "2_vn": silence(12)}),
        ("test", "t", {"1_vn": sound(12, 25), "2_va": sound(12, 26)}),
        ("test", "u", {"1_vn": sound(12, 27)}),
    ]
    manifest = data_set(root, tracks).manifest
    rows = [row.model_copy(update={"group": "tune"}) if row.name in "tu" else row for row in manifest.tracks]
    rows[-1] = rows[-1].model_copy(update={"split": "test_late"})
    low = tuple(of_rate(part, 800) for part in rows[-2].parts)
    rows[-2] = rows[-2].model_copy(update={"parts": low})
    rewritten(root, manifest.model_copy(update={"tracks": tuple(rows)}))
    return root, examine(root, workers=1)


def test_every_illness_is_remarked_once(ill):
    assert ill[1].remarks == [
        "the source 'cl' never plays in the split 'train', so no model can learn it",
        "the source 'va' never plays in the split 'train', so no model can learn it",
        "silent files (no second above -60 dBFS), 3: a/3_cl.wav, a/6_cl.wav, v/2_vn.wav",
        "clipped files, 1: a/1_vn.wav (8 samples at full scale; 2 runs of 3 or more, the longest 4)",
        "upsampled from 800 to 1000 Hz, which leaves nothing above 400 Hz, 2: t/1_vn.wav, t/2_va.wav",
        "parts of one track that are one file, 1: a/5_ob.wav = a/4_ob.wav",
        "in the split 'train' 1 pairs of recordings of different groups share a take",
    ]
    assert ill[1].rates_hz == {800: 2, RATE_HZ: 11}


def test_what_lies_in_two_splits_is_a_leak(ill):
    assert ill[1].leaks == [
        "the group 'tune' is divided between the splits test (t), test_late (u)",
        "a/4_ob.wav (train) and v/1_cl.wav (validation) share a take: scaled (lag +0.00000 s, gain +0.500, 12 of 12 s)",
        "a/5_ob.wav (train) and v/1_cl.wav (validation) share a take: scaled (lag +0.00000 s, gain +0.500, 12 of 12 s)",
    ]


def test_illnesses_are_no_faults(ill):
    assert ill[1].faults == []


def test_all_faults_are_listed_and_the_rest_is_still_examined(sound_set, tmp_path):
    root = tmp_path / "prepared"
    shutil.copytree(sound_set, root)
    (root / "a/1_vn.wav").unlink()
    with (root / "b/0_mixture.wav").open("r+b") as file:
        file.seek(1_000)
        file.write(b"\x01\x02\x03")
    with (root / "c/2_cl.wav").open("ab") as file:
        file.write(b"longer")
    found = examine(root, workers=1)
    reason = "is missing or is not what was prepared; remove its folder and prepare again"
    assert found.faults == [f"{root}/{file} {reason}" for file in ("a/1_vn.wav", "b/0_mixture.wav", "c/2_cl.wav")]
    assert [row.tracks for row in found.splits] == [3, 1, 1]
    [violins] = [row for row in found.sources if (row.split, row.source) == ("train", "vn")]
    assert violins.playing_in_its_tracks == 4 / 12  # what the second alone plays


def test_a_damaged_set_is_not_called_silent(tmp_path):
    prepared = data_set(
        tmp_path / "p", [("train", "a", {"1_vn": sound(2, 1)}), ("validation", "v", {"1_vn": sound(2, 2)})]
    )
    (prepared.root / "v/1_vn.wav").unlink()
    [fault] = examine(prepared.root, workers=1).faults
    assert "v/1_vn.wav is missing" in fault


# ---------------------------------------------------------------- unfit for training, by both ways of looking

SILENT = (
    "every track of the split '{}' of {} is silent (no second above -60 dBFS); listen to the files it was prepared from"
)
NO_TRACK = "{1} has no track in the split '{0}'; it has: {2}"
UNFIT = {
    "no validation": ([("train", "a", 1_000), ("test", "t", 1_000)], [("validation", NO_TRACK, "test, train")]),
    "no training": ([("validation", "v", 1_000)], [("train", NO_TRACK, "validation")]),
    "silent validation": ([("train", "a", 1_000), ("validation", "v", 0)], [("validation", SILENT, "")]),
    "all but silent": ([("train", "a", 30), ("validation", "v", 1_000)], [("train", SILENT, "")]),
    "both": ([("train", "a", 0), ("test", "t", 0)], [("train", SILENT, ""), ("validation", NO_TRACK, "test, train")]),
}


@pytest.mark.parametrize("case", UNFIT)
def test_a_needed_split_that_is_empty_or_silent_is_refused(tmp_path, case):
    tracks, faults = UNFIT[case]
    prepared = data_set(
        tmp_path / "p", [(split, name, {"1_vn": np.full(3_500, level)}) for split, name, level in tracks]
    )
    expected = [line.format(split, prepared.root, known) for split, line, known in faults]
    assert examine(prepared.root, workers=1).faults == expected
    with pytest.raises(ValueError) as refused:
        require_trainable(prepared, Sources(("vn",)))
    assert str(refused.value).split("\n") == expected


# ---------------------------------------------------------------- the quick look


def test_a_healthy_data_set_is_trainable_without_a_word(sound_set):
    assert require_trainable(Prepared(sound_set), Sources(("vn", "fl", "cl"))) == []


def test_a_source_that_training_never_hears_is_remarked(ill):
    remarks = require_trainable(Prepared(ill[0]), Sources(("vn", "cl", "harp", "ob")))
    told = "the source '{}' never plays in the split 'train', so no model can learn it"
    assert remarks == [told.format("cl"), told.format("harp")]


def test_a_source_that_sums_instruments_is_heard_by_any_of_them(ill):
    sums = {"winds": ("cl", "ob"), "none": ("cl", "harp")}
    [remark] = require_trainable(Prepared(ill[0]), Sources(("winds", "none", "vn"), sums))
    assert "'none'" in remark


def test_equal_files_and_divided_groups_are_seen_at_once_and_silence_is_no_leak(tmp_path):
    same = sound(2, 1)
    tracks = [
        ("train", "a", {"1_vn": same, "2_fl": silence(2)}),
        ("train", "b", {"1_vn": sound(2, 2)}),
        ("validation", "v", {"1_vn": same, "2_fl": silence(2)}),
        ("validation", "w", {"1_vn": sound(2, 3)}),
    ]
    prepared = data_set(tmp_path / "p", tracks)
    rows = [row.model_copy(update={"group": "tune"}) if row.name in "bw" else row for row in prepared.manifest.tracks]
    prepared = rewritten(prepared.root, prepared.manifest.model_copy(update={"tracks": tuple(rows)}))
    assert require_trainable(prepared, Sources(("vn",))) == [
        "the group 'tune' is divided between the splits train (b), validation (w)",
        "files of validation are files of train, byte by byte, 1: v/1_vn.wav = a/1_vn.wav",
    ]


def test_files_that_are_missing_or_cut_are_refused_in_a_line_a_split(sound_set, tmp_path):
    root = tmp_path / "prepared"
    shutil.copytree(sound_set, root)
    (root / "b/2_cl.wav").unlink()
    with (root / "v/1_vn.wav").open("r+b") as file:
        file.truncate(1_000)
    with pytest.raises(ValueError) as refused:
        require_trainable(Prepared(root), Sources(("vn",)))
    first, second = str(refused.value).split("\n")
    assert "b/2_cl.wav" in first and "v/1_vn.wav" in second


def test_the_quick_look_reads_a_few_seconds_however_long_the_set(tmp_path, monkeypatch):
    tracks = [("train", f"a{n}", {"1_vn": sound(30, n), "2_fl": sound(30, n + 50)}) for n in range(10)]
    prepared = data_set(tmp_path / "p", [*tracks, ("validation", "v", {"1_vn": sound(30, 99)})])
    read = []
    read_pcm = Prepared.read_pcm

    def counted(self, part, start, samples):
        read.append(samples)
        return read_pcm(self, part, start, samples)

    monkeypatch.setattr(Prepared, "read_pcm", counted)
    assert require_trainable(prepared, Sources(("vn", "fl"))) == []
    assert sum(read) <= 4 * RATE_HZ
