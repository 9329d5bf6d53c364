"""The embedded data set: what a listener would hear, measured on the files alone, and what a split promises."""

import hashlib
import itertools
import json
import re
import shutil
from collections import defaultdict
from pathlib import Path
from typing import Any

from Actions.rendering import bank, render_dataset, sampler
from Actions.rendering.plan import plan_pieces
from Actions.rendering.render import render_piece
from Actions.rendering.splits import URMP_LINEUPS
from Files import OWN

import mido
import numpy as np
import pytest
import soundfile

pytestmark = pytest.mark.slow

RATE_HZ = 16_000
SECONDS = 8.0
PIECES = 8
LINEUPS = ["vn_vc", "fl_ob_cl", "sax_tpt_bn", "hn_tbn_tba", "va_db"]
ARGUMENTS: dict[str, Any] = dict(pieces=PIECES, seconds=SECONDS, sample_rate_hz=RATE_HZ, lineups=LINEUPS)
INSTRUMENTS = "vn va vc db fl ob cl sax bn tpt hn tbn tba".split()
SEMITONE = 2 ** (1 / 12)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("synthetic") / "urmp"
    render_dataset(out, **ARGUMENTS, workers=2)
    return out


def rows(dataset: Path) -> list[dict]:
    return json.loads((dataset / "metadata.json").read_text())


def stems(dataset: Path) -> list[Path]:
    return sorted(dataset.glob("*/AuSep_*.wav"))


def table(stem: Path, kind: str) -> np.ndarray:
    return np.loadtxt(stem.with_name(stem.name.replace("AuSep", kind)).with_suffix(".txt"), ndmin=2)


def score_tracks(piece: Path) -> list[list[int]]:
    """The pitches of each part, in order, by another MIDI reader than the writer's code."""
    file = mido.MidiFile(next(piece.glob("Sco_*.mid")))
    return [[m.note for m in track if m.type == "note_on" and m.velocity > 0] for track in file.tracks[1:]]


def fingerprint(folder: Path) -> dict[str, str]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file() and OWN not in path.parts)
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def measured_hz(sound: np.ndarray, near_hz: float, semitones: float = 1.5) -> float:
    """Pitch of a short sound by its normalised autocorrelation; the best lag within some semitones of `near_hz`."""
    sound = sound - sound.mean()
    shortest, longest = RATE_HZ / near_hz / SEMITONE**semitones, RATE_HZ / near_hz * SEMITONE**semitones
    # Several periods at once: one period of a high note is too few samples to tell cents apart.
    periods = max(1, int(0.012 * near_hz))
    lags = np.arange(int(periods * shortest), int(np.ceil(periods * longest)) + 1)
    alike = np.array([_alike(sound, lag) for lag in lags])
    i = int(np.clip(np.argmax(alike), 1, len(lags) - 2))
    left, middle, right = alike[i - 1 : i + 2]
    return periods * RATE_HZ / (lags[i] + 0.5 * (left - right) / (left - 2 * middle + right))


def _alike(sound: np.ndarray, lag: int) -> float:
    a, b = sound[:-lag], sound[lag:]
    return float(2 * (a @ b) / (a @ a + b @ b))


def cents(a_hz, b_hz) -> np.ndarray:
    return 1200 * np.log2(np.asarray(a_hz) / np.asarray(b_hz))


# ---------------------------------------------------------------- the layout


def test_names_and_formats_are_those_of_urmp(dataset):
    for row in rows(dataset):
        number, title, *instruments = row["piece"].split("_")
        assert re.fullmatch(r"\d\d", number) and re.fullmatch(r"[A-Za-z0-9]+", title)
        assert instruments == row["instruments"] and set(instruments) <= set(INSTRUMENTS)
        expected = {f"AuMix_{row['piece']}.wav", f"Sco_{row['piece']}.mid"}
        for i, instrument in enumerate(instruments, 1):
            part = f"{i}_{instrument}_{number}_{title}"
            expected |= {f"AuSep_{part}.wav", f"F0s_{part}.txt", f"Notes_{part}.txt"}
        assert {path.name for path in (dataset / row["piece"]).iterdir()} == expected
    for wav in dataset.glob("*/*.wav"):
        info = soundfile.info(wav)
        assert (info.subtype, info.channels, info.samplerate, info.frames) == ("PCM_16", 1, RATE_HZ, RATE_HZ * SECONDS)


def test_folder_holds_nothing_else_and_carries_the_licence(dataset):
    names = {path.name for path in dataset.iterdir()}
    assert names == {row["piece"] for row in rows(dataset)} | {"metadata.json", "LICENSES.md", ".synthetic.json", OWN}
    assert (dataset / "LICENSES.md").read_text() == (bank.PACK / "LICENSES.md").read_text()


def test_lineups_are_cycled(dataset):
    lineups = ["_".join(row["instruments"]) for row in rows(dataset)]
    assert lineups == [LINEUPS[i % len(LINEUPS)] for i in range(PIECES)]


def test_parts_sum_to_the_mixture_bit_for_bit(dataset):
    for piece in dataset.glob("*_*/"):
        parts = [soundfile.read(stem, dtype="int16")[0].astype(int) for stem in piece.glob("AuSep_*.wav")]
        mixture, _ = soundfile.read(next(piece.glob("AuMix_*.wav")), dtype="int16")
        np.testing.assert_array_equal(np.sum(parts, axis=0), mixture)


def test_track_n_of_the_score_is_part_n(dataset):
    for row in rows(dataset):
        piece = dataset / row["piece"]
        file = mido.MidiFile(next(piece.glob("Sco_*.mid")))
        assert [track.name for track in file.tracks[1:]] == row["instruments"]
        for stem, pitches in zip(sorted(piece.glob("AuSep_*.wav")), score_tracks(piece), strict=True):
            assert len(table(stem, "Notes")) == len(pitches)


def test_pitch_track_agrees_with_the_notes(dataset):
    for stem in stems(dataset):
        times, hz = table(stem, "F0s").T
        np.testing.assert_allclose(times, 0.01 * np.arange(int(SECONDS * 100)), atol=1e-6)
        notes = table(stem, "Notes")
        assert (notes[1:, 0] >= notes[:-1, 0] + notes[:-1, 2] - 2e-4).all(), "notes of one part overlap"
        sounding = np.zeros(len(times), bool)
        for onset, mean_hz, duration in notes:
            inside = (times > onset + 1e-3) & (times < onset + duration - 1e-3)
            sounding |= (times > onset - 1e-3) & (times < onset + duration + 1e-3)
            assert (hz[inside] > 0).all()
            if inside.sum() > 20:
                assert abs(cents(hz[inside].mean(), mean_hz)) < 3
        assert (hz[~sounding] == 0).all()


# ---------------------------------------------------------------- what a listener hears


def test_95_per_cent_of_the_notes_are_within_35_cents_of_the_score(dataset):
    errors = []
    for piece in dataset.glob("*_*/"):
        for stem, pitches in zip(sorted(piece.glob("AuSep_*.wav")), score_tracks(piece), strict=True):
            sound, _ = soundfile.read(stem)
            for (onset, _, duration), pitch in zip(table(stem, "Notes"), pitches, strict=True):
                if duration > 0.25:
                    begin, end = int((onset + 0.08) * RATE_HZ), int((onset + min(duration, 0.8)) * RATE_HZ)
                    nominal_hz = 440 * 2 ** ((pitch - 69) / 12)
                    errors.append(cents(measured_hz(sound[begin:end], nominal_hz), nominal_hz))
    assert len(errors) > 100
    assert np.mean(np.abs(errors) < 35) >= 0.95
    assert abs(np.median(errors)) < 10


def test_written_pitch_is_the_played_pitch_with_its_vibrato(dataset):
    """On violin and cello, whose vibrato is wide: frame by frame, and the same wave, not only the same mean."""
    measured, written = [], []
    for stem in [*dataset.glob("*/AuSep_*_vn_*.wav"), *dataset.glob("*/AuSep_*_vc_*.wav")]:
        sound, _ = soundfile.read(stem)
        times, hz = table(stem, "F0s").T
        for onset, mean_hz, duration in table(stem, "Notes"):
            # A gap first: otherwise the room still sounds the note before.
            frames = [i for i, t in enumerate(times) if onset + 0.15 < t < onset + duration - 0.05][::2]
            if duration < 0.5 or len(frames) < 10:
                continue
            half = int(0.02 * RATE_HZ)
            windows = [sound[int(times[i] * RATE_HZ) - half : int(times[i] * RATE_HZ) + half] for i in frames]
            measured.append(cents([measured_hz(window, mean_hz) for window in windows], mean_hz))
            written.append(cents(hz[frames], mean_hz))
    error = np.abs(np.concatenate(measured) - np.concatenate(written))
    assert len(error) > 100
    assert np.mean(error < 20) > 0.9
    wide = [i for i, note in enumerate(written) if note.std() > 6]
    assert len(wide) >= 3
    assert np.median([np.corrcoef(measured[i], written[i])[0, 1] for i in wide]) > 0.8


def test_notes_join_without_clicks(dataset):
    """A click is a step: much steeper than the music is anywhere around it, attacks of other notes included."""
    for stem in stems(dataset):
        sound, _ = soundfile.read(stem)
        steepness = np.abs(np.diff(sound, n=2))
        usual = np.percentile(steepness, 99.5)
        assert usual > 0
        assert steepness.max() < 8 * usual, f"{stem.name} at {np.argmax(steepness) / RATE_HZ:.2f} s"


def test_every_part_is_heard_and_nothing_clips(dataset):
    for piece in dataset.glob("*_*/"):
        mixture, _ = soundfile.read(next(piece.glob("AuMix_*.wav")))
        assert 0.05 < np.abs(mixture).max() < 0.98
        for stem in piece.glob("AuSep_*.wav"):
            sound, _ = soundfile.read(stem)
            level_db = 10 * np.log10((sound**2).mean())
            assert -45 < level_db < -12, stem.name
            assert (table(stem, "F0s")[:, 1] > 0).mean() > 0.2, stem.name


def test_notes_sound_when_they_are_written(dataset):
    """The written onset is where the sound of a first note, or of one after a rest, rises."""
    late = []
    for stem in stems(dataset):
        sound, _ = soundfile.read(stem)
        level = np.sqrt(np.convolve(sound**2, np.full(160, 1 / 160), "same"))
        notes = table(stem, "Notes")
        ends = np.concatenate([[0.0], notes[:-1, 0] + notes[:-1, 2]])
        for (onset, _, duration), end in zip(notes, ends, strict=True):
            if duration > 0.2 and onset - end > 0.25:
                after = level[int((onset - 0.1) * RATE_HZ) : int((onset + 0.2) * RATE_HZ)]
                late.append(np.argmax(after > 0.4 * after.max()) / RATE_HZ - 0.1)
    assert len(late) >= 10
    assert np.percentile(np.abs(late), 90) < 0.06


def test_pieces_differ_in_tempo_tuning_and_room(dataset):
    for key in ("tempo_bpm", "tuning_cents", "reverberation_seconds", "score"):
        assert len({row[key] for row in rows(dataset)}) == PIECES


# ---------------------------------------------------------------- the same bytes


def test_bytes_do_not_depend_on_the_number_of_workers(dataset, tmp_path):
    render_dataset(tmp_path / "again", **ARGUMENTS, workers=1)
    assert fingerprint(tmp_path / "again") == fingerprint(dataset)


def test_another_seed_gives_other_music():
    first, second = (plan_pieces(8, SECONDS, seed, "b", URMP_LINEUPS) for seed in (0, 1))
    assert all(
        a.tempo_bpm != b.tempo_bpm and a.tuning_cents != b.tuning_cents for a, b in zip(first, second, strict=True)
    )
    assert len({piece.score for piece in first} & {piece.score for piece in second}) <= 2


def test_second_call_touches_nothing(dataset):
    def stamps():
        return {path: path.stat().st_mtime_ns for path in dataset.rglob("*")}

    before = stamps()
    render_dataset(dataset, **ARGUMENTS, progress=lambda done, total: pytest.fail("rendered again"))
    assert stamps() == before


def test_interrupted_call_is_finished_by_the_same_call(dataset, tmp_path):
    class Stopped(Exception):
        pass

    def stop(done: int, total: int) -> None:
        if done == 3:
            raise Stopped

    out = tmp_path / "urmp"
    with pytest.raises(Stopped):
        render_dataset(out, **ARGUMENTS, workers=1, progress=stop)
    assert not (out / "metadata.json").exists()
    finished = len(list(out.glob("[0-9]*")))
    assert 3 <= finished < PIECES
    calls = []
    render_dataset(out, **ARGUMENTS, workers=2, progress=lambda *call: calls.append(call))
    assert calls == [(done, PIECES) for done in range(finished + 1, PIECES + 1)]
    assert fingerprint(out) == fingerprint(dataset)


def test_removed_and_half_written_pieces_come_back(dataset, tmp_path):
    out = tmp_path / "urmp"
    shutil.copytree(dataset, out)
    first, second = (out / row["piece"] for row in rows(dataset)[:2])
    shutil.rmtree(first)
    next(second.glob("Sco_*")).unlink()
    render_dataset(out, **ARGUMENTS)
    assert fingerprint(out) == fingerprint(dataset)


# ---------------------------------------------------------------- splits and banks


@pytest.fixture(scope="module", params=["a", "b", "both"])
def plan(request):
    return request.param, plan_pieces(132, 30.0, 0, request.param, URMP_LINEUPS)


def test_no_group_is_in_two_splits(plan):
    splits = defaultdict(set)
    for piece in plan[1]:
        splits[piece.group].add(piece.split)
    assert all(len(found) == 1 for found in splits.values())


def test_passages_of_one_score_do_not_overlap():
    passages = defaultdict(list)
    for piece in plan_pieces(400, 30.0, 0, "b", URMP_LINEUPS):
        passages[piece.score].append((piece.first_quarter, piece.first_quarter + piece.quarters))
    assert max(map(len, passages.values())) > 1
    for found in passages.values():
        assert all(end <= begin for (_, end), (begin, _) in itertools.pairwise(sorted(found)))


def test_splits_have_their_shares(plan):
    bank_name, pieces = plan
    shares = {split: sum(piece.split == split for piece in pieces) / len(pieces) for split in {p.split for p in pieces}}
    expected = {"train": 0.66, "validation": 0.10, "test": 0.12, "test_unseen_bank": 0.12}
    if bank_name == "both":
        expected["train"] += expected.pop("test_unseen_bank")
    assert shares == pytest.approx(expected, abs=0.01)


def test_a_bank_that_training_hears_is_not_the_unseen_one(plan):
    bank_name, pieces = plan
    banks = {unseen: {p.bank for p in pieces if (p.split == "test_unseen_bank") == unseen} for unseen in (True, False)}
    assert (
        banks
        == {
            "a": {True: {"b"}, False: {"a"}},
            "b": {True: {"a"}, False: {"b"}},
            "both": {True: set(), False: {"a", "b"}},
        }[bank_name]
    )
    assert all(not {"ob", "va"} & set(piece.lineup) for piece in pieces if piece.bank == "a")


def test_urmps_lineups_come_once_each():
    pieces = plan_pieces(44, 30.0, 0, "b", URMP_LINEUPS)
    assert [piece.lineup for piece in pieces] == list(URMP_LINEUPS)
    parts = {split: [len(p.lineup) for p in pieces if p.split == split] for split in ("train", "validation", "test")}
    assert all(2.8 < np.mean(counts) < 4 for counts in parts.values())


def test_urmps_lineups_are_urmps():
    """URMP's published counts: pieces by size, and tracks by instrument."""
    sizes = [len(lineup) for lineup in URMP_LINEUPS]
    assert [sizes.count(parts) for parts in (2, 3, 4, 5)] == [11, 12, 14, 7]
    tracks = [instrument for lineup in URMP_LINEUPS for instrument in lineup]
    counts = dict(vn=34, tpt=21, fl=18, va=13, vc=11, sax=11, cl=10, tbn=9, ob=6, tba=5, hn=5, bn=3, db=3)
    assert {instrument: tracks.count(instrument) for instrument in INSTRUMENTS} == counts


@pytest.mark.parametrize("name, code", [("a", "vn"), ("b", "tpt")])
def test_a_piece_sounds_with_its_own_bank_alone(name, code, tmp_path, monkeypatch):
    asked = set()

    def spy(bank_name, instrument, pitch, sample_rate_hz):
        asked.add((bank_name, instrument))
        return bank.pitched_note(bank_name, instrument, pitch, sample_rate_hz)

    monkeypatch.setattr(sampler, "pitched_note", spy)
    piece = plan_pieces(4, SECONDS, 0, name, [(code, "vc")])[0]
    unseen = {"a": "b", "b": "a"}[name]
    render_piece(tmp_path, 4, RATE_HZ, piece)
    expected = unseen if piece.split == "test_unseen_bank" else name
    assert asked == {(expected, code), (expected, "vc")}


def test_four_pieces_reach_every_split():
    pieces = plan_pieces(4, 5.0, 0, "b", [("vn", "vc")])
    assert {piece.split for piece in pieces} == {"train", "validation", "test", "test_unseen_bank"}


# ---------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    "changed, message",
    [
        (dict(bank="c"), "bank: expected one of a, b, both, received 'c'"),
        (dict(pieces=3), "pieces: expected at least 4, one for each split, received 3"),
        (dict(seconds=4.9), "seconds: expected at least 5 a piece, received 4.9"),
        (dict(seconds=float("nan")), "seconds: expected at least 5 a piece, received nan"),
        (dict(sample_rate_hz=100), "sample_rate_hz: expected 4000 to 96000, received 100"),
        (dict(seed=-1), "seed: expected 0 or more, received -1"),
        (dict(workers=0), "workers: expected at least 1, received 0"),
        (dict(lineups=[]), "lineups: expected at least one such as vn_vc, received none"),
        (
            dict(lineups=["vn_xx"]),
            "lineups: expected instruments out of bn .* vn joined by _, received 'xx' in 'vn_xx'",
        ),
        (dict(lineups=[""]), "received '' in ''"),
        (dict(lineups=["vn_vn_vn_vn_vn_vn"]), "lineups: expected 1 to 5 instruments, received 6 in 'vn_vn_vn"),
        (dict(lineups=["ob_va"], bank="a"), "lineups: expected at least one that bank a can play, received ob_va"),
        (dict(lineups=["ob_va"]), "expected at least one that bank a can play too, .* received ob_va; add one or"),
        (
            dict(pieces=99, seconds=900.0, lineups=["vn_vn_va_va_vc"], bank="both"),
            "pieces: expected at most .* received 99; .* left in split .* at piece .* fewer",
        ),
    ],
)
def test_bad_arguments_are_one_line_and_leave_nothing(changed, message, tmp_path):
    with pytest.raises(ValueError, match=message) as error:
        render_dataset(tmp_path / "out", **{**ARGUMENTS, **changed})
    assert "\n" not in str(error.value)
    assert not (tmp_path / "out").exists()


def test_a_folder_of_other_things_is_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("precious")
    with pytest.raises(ValueError, match="expected a new or empty folder, or one that the same call began"):
        render_dataset(tmp_path, **ARGUMENTS)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_file_in_place_of_the_folder(tmp_path):
    (tmp_path / "out").write_text("")
    with pytest.raises(ValueError, match="out: expected a folder, received a file"):
        render_dataset(tmp_path / "out", **ARGUMENTS)


def test_a_data_set_of_other_arguments_is_left_alone(dataset):
    before = fingerprint(dataset)
    with pytest.raises(ValueError, match="holds a data set made with seed 0, received 7; choose another folder"):
        render_dataset(dataset, **{**ARGUMENTS, "seed": 7})
    assert fingerprint(dataset) == before
