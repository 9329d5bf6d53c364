import dataclasses
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

from Files import OWN, sha256
from Input.preparation import JOURNAL, SourcePart, SourceTrack, prepare, prepare_track
from Input.prepared import FULL_SCALE, MANIFEST, Manifest, Part, Prepared, Stream
from Input.references import PreparedReferences
from Input.remarks import Remark, in_words
from Input.sources import Sources
from Input.track_preparation import recorded_mixture

import fsspec
import librosa
import numpy as np
import pytest
import soundfile
from scripts import HEED_INTERRUPTS

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parent.parent
RATE_HZ = 8_000


def check(root: Path) -> list[str]:
    """The files of a prepared data set that are not what was prepared."""
    prepared = Prepared(root)
    return [
        part.audio.file for track in prepared.manifest.tracks for part in track.files if prepared.damaged(part.audio)
    ]


def noise(samples: int, channels: int = 1, seed: int = 0) -> np.ndarray:
    return 0.1 * np.random.default_rng(seed).standard_normal((samples, channels))


def track(folder: Path, *audio: np.ndarray, rate_hz: int = RATE_HZ, subtype: str = "PCM_16") -> SourceTrack:
    """Writes one file a part, all violins, and says where they lie."""
    folder.mkdir(parents=True, exist_ok=True)
    parts = []
    for number, samples in enumerate(audio, 1):
        parts.append(SourcePart(number, "vn", folder / f"{number}.wav"))
        soundfile.write(parts[-1].path, samples, rate_hz, subtype=subtype)
    return SourceTrack(folder.name, "train", "group", tuple(parts))


def tracks(root: Path) -> list[SourceTrack]:
    """Three tracks of different lengths, two parts each."""
    return [
        track(root / name, noise(samples, seed=samples), noise(samples, seed=samples + 1))
        for name, samples in (("a", 4_000), ("b", 6_000), ("c", 3_000))
    ]


def contents(root: Path) -> dict[str, bytes]:
    files = [path for path in root.rglob("*") if path.is_file() and OWN not in path.parts]
    return {str(path.relative_to(root)): path.read_bytes() for path in files}


def stamps(root: Path) -> dict[str, tuple[int, int]]:
    """When each file and folder was written, and which one it is."""
    paths = [root, *root.rglob("*")]
    return {str(path.relative_to(root)): (path.stat().st_mtime_ns, path.stat().st_ino) for path in paths}


def prepared_track(given: SourceTrack, out: Path, sample_rate_hz: int = RATE_HZ, channels: int = 1):
    out.mkdir(exist_ok=True)
    return prepare_track(given, out, sample_rate_hz, channels)


def pcm(path: Path) -> np.ndarray:
    return soundfile.read(path, dtype="int16", always_2d=True)[0]


# ---------------------------------------------------------------- what is written


@pytest.mark.parametrize("channels", [1, 2])
def test_stems_of_16_bits_at_the_same_rate_stay_bit_for_bit(tmp_path, channels):
    loudest = np.random.default_rng(0).integers(-FULL_SCALE, FULL_SCALE, (70_000, channels)).astype(np.int16)
    record, remarks = prepared_track(track(tmp_path / "a", loudest, loudest[::-1]), tmp_path / "out", channels=channels)
    assert remarks == [] and record.samples == 70_000
    np.testing.assert_array_equal(pcm(tmp_path / "out/a/1_vn.wav"), loudest)
    np.testing.assert_array_equal(pcm(tmp_path / "out/a/2_vn.wav"), loudest[::-1])


def test_48_khz_of_24_bits_become_the_resampled_stem(tmp_path):
    given = track(tmp_path / "a", noise(96_001), noise(96_001, seed=1), rate_hz=48_000, subtype="PCM_24")
    record, remarks = prepared_track(given, tmp_path / "out", 22_050)
    assert remarks == [] and record.samples == round(96_001 * 22_050 / 48_000) == 44_100
    for part, prepared in zip(given.parts, record.parts, strict=True):
        source, _ = soundfile.read(part.path, dtype="float32")
        expected = librosa.resample(source, orig_sr=48_000, target_sr=22_050, res_type="soxr_hq")[:44_100] * FULL_SCALE
        received = pcm(tmp_path / "out" / prepared.audio.file)
        assert (
            received.shape == (44_100, 1)
            and soundfile.info(tmp_path / "out" / prepared.audio.file).samplerate == 22_050
        )
        np.testing.assert_allclose(received[:, 0], expected, atol=0.51)
        origin = prepared.audio.origin
        assert (origin.rate_hz, origin.bytes) == (48_000, part.path.stat().st_size)


def test_stereo_becomes_the_mean_and_mono_becomes_stereo(tmp_path):
    stereo = np.random.default_rng(0).integers(-5_000, 5_000, (1_000, 2)).astype(np.int16)
    prepared_track(track(tmp_path / "a", stereo), tmp_path / "out")
    np.testing.assert_allclose(pcm(tmp_path / "out/a/1_vn.wav"), stereo.mean(axis=1, keepdims=True), atol=0.5)
    prepared_track(track(tmp_path / "b", stereo[:, :1]), tmp_path / "out", channels=2)
    np.testing.assert_array_equal(pcm(tmp_path / "out/b/1_vn.wav"), stereo[:, [0, 0]])


def test_samples_beyond_full_scale_are_clipped_and_counted(tmp_path):
    loud = np.array([0.5, 1.5, -1.0, -1.1, 1.0, 0.25])  # 1.0 is a step beyond the largest of 16 bits
    _, remarks = prepared_track(track(tmp_path / "a", loud, subtype="FLOAT"), tmp_path / "out")
    assert in_words(remarks) == [f"{tmp_path / 'a/1.wav'}: 3 samples beyond full scale were clipped"]
    assert pcm(tmp_path / "out/a/1_vn.wav")[:, 0].tolist() == [16384, 32767, -32768, -32768, 32767, 8192]


def test_a_part_that_ends_a_moment_early_ends_in_silence_and_it_is_said(tmp_path):
    whole = noise(8_000)
    record, remarks = prepared_track(track(tmp_path / "a", whole, whole[:7_600]), tmp_path / "out")
    assert record.samples == 8_000
    assert in_words(remarks) == [f"{tmp_path / 'a/2.wav'} ends 0.050 s early; silence follows"]
    first, second = pcm(tmp_path / "out/a/1_vn.wav"), pcm(tmp_path / "out/a/2_vn.wav")
    np.testing.assert_array_equal(second[:7_600], first[:7_600])
    assert len(first) == len(second) == 8_000 and not second[7_600:].any()


def with_mixture(given: SourceTrack, mixture: np.ndarray, subtype: str = "PCM_16") -> SourceTrack:
    path = given.parts[0].path.with_name("mix.wav")
    soundfile.write(path, mixture, RATE_HZ, subtype=subtype)
    return dataclasses.replace(given, mixture=recorded_mixture(path))


def test_the_recorded_mixture_is_kept_beside_the_parts(tmp_path):
    parts = [np.random.default_rng(seed).integers(-5_000, 5_000, (70_000, 1)).astype(np.int16) for seed in range(3)]
    given = with_mixture(track(tmp_path / "in/a", *parts), sum(parts))
    assert prepare([given], tmp_path / "out", sample_rate_hz=RATE_HZ, workers=1) == []  # it is their sum
    [record] = Prepared(tmp_path / "out").split("train")
    assert (record.mixture.number, record.mixture.instrument) == (0, "mixture")
    assert record.mixture.audio.file == "a/0_mixture.wav" and record.mixture not in record.parts
    np.testing.assert_array_equal(pcm(tmp_path / "out/a/0_mixture.wav"), sum(parts))
    assert check(tmp_path / "out") == []
    flip_a_byte(tmp_path / "out/a/0_mixture.wav")
    assert len(check(tmp_path / "out")) == 1


@pytest.mark.parametrize("db", [-6.0, -31.2, -52.0])
def test_how_far_a_recorded_mixture_is_from_the_sum_is_told_in_db(tmp_path, db):
    """Orthogonal by construction: a mixture of energy 1 + x, of which x is in no part."""
    time = np.arange(160_000)[:, None] / RATE_HZ
    first, second, strange = (np.sin(2 * np.pi * hz * time) for hz in (101.3, 217.9, 323.1))
    share = 10 ** (db / 10)
    mixture = 0.2 * (first + second) + 0.2 * strange * np.sqrt(2 * share / (1 - share))
    given = with_mixture(track(tmp_path / "in/a", 0.2 * first, 0.2 * second, subtype="FLOAT"), mixture, "FLOAT")
    _, remarks = prepared_track(given, tmp_path / "out")
    assert in_words(remarks) == [f"a: the recorded mixture differs from the sum of its parts by {db:.1f} dB"]


def test_rounding_to_16_bits_is_no_difference_however_quiet_the_music(tmp_path):
    """At -70 dB of full scale the rounding of five files makes -27 dB of the mixture."""
    parts = [3e-4 * np.random.default_rng(seed).standard_normal((80_000, 1)) for seed in range(5)]
    given = with_mixture(track(tmp_path / "in/a", *parts, subtype="DOUBLE"), sum(parts), "DOUBLE")
    _, remarks = prepared_track(given, tmp_path / "out")
    assert remarks == [] or remarks[0].amount < -40
    _, remarks = prepared_track(with_mixture(given, np.zeros((80_000, 1))), tmp_path / "out")
    assert remarks[0].amount == np.inf


def test_many_remarks_of_a_kind_are_one_line():
    amounts = {"a": -31.0, "b": -28.5, "c": -37.0, "d": -33.0, "e": -30.0}
    remarks = [Remark("mixture", name, db) for name, db in amounts.items()] + [Remark("clipped", "x.wav", 7)]
    assert in_words(remarks) == [
        "5 recorded mixtures differ from the sum of their parts: -31.0 dB in the median, -28.5 dB at most (b)",
        "x.wav: 7 samples beyond full scale were clipped",
    ]
    assert len(in_words(remarks[:3])) == 3


def test_a_span_of_a_file_is_prepared_at_the_wanted_rate(tmp_path):
    given = track(tmp_path / "in/a", noise(24_000, seed=1), rate_hz=24_000, subtype="FLOAT")
    part = dataclasses.replace(given.parts[0], span_seconds=(0.25, 0.75))
    record, remarks = prepared_track(dataclasses.replace(given, parts=(part,)), tmp_path / "out")
    expected = librosa.resample(
        noise(24_000, seed=1)[6_000:18_000, 0], orig_sr=24_000, target_sr=RATE_HZ, res_type="soxr_hq"
    )
    assert record.samples == 4_000 and remarks == []
    np.testing.assert_allclose(pcm(tmp_path / "out/a/1_vn.wav")[:, 0], expected * FULL_SCALE, atol=1.0)


def test_a_range_that_ends_behind_its_file_takes_what_there_is_and_one_outside_is_a_fault(tmp_path):
    given = track(tmp_path / "in/a", noise(8_000))
    late = dataclasses.replace(given, parts=(dataclasses.replace(given.parts[0], span_seconds=(0.5, 3.0)),))
    record, remarks = prepared_track(late, tmp_path / "out")
    assert record.samples == 4_000
    assert in_words(remarks) == [f"{given.parts[0].path} ends 2.00 s before its range does; what there is is taken"]
    for span in ((1.0, 3.0), (-0.5, 0.5), (0.5, 0.5)):
        outside = dataclasses.replace(given, parts=(dataclasses.replace(given.parts[0], span_seconds=span),))
        with pytest.raises(ValueError, match=r"1.wav lasts 1.00 s; expected a range inside. Received: "):
            prepared_track(outside, tmp_path / "out")


def test_a_recording_whose_header_was_never_finished_is_prepared_whole(tmp_path):
    """Beside one that is as long: the two sizes of a wav, at 4 and at 40, are what they were when the recorder died."""
    given = track(tmp_path / "a", noise(144_000), noise(144_000, seed=1))
    for part, size in zip(given.parts, (1_000, 0), strict=True):
        whole = bytearray(part.path.read_bytes())
        assert whole[36:40] == b"data"
        whole[4:8], whole[40:44] = (size + 36).to_bytes(4, "little"), size.to_bytes(4, "little")
        part.path.write_bytes(whole)
    assert prepare([given], tmp_path / "out", sample_rate_hz=RATE_HZ, workers=1) == []
    (record,) = Prepared(tmp_path / "out").manifest.tracks
    assert record.samples == 144_000 and check(tmp_path / "out") == []
    for seed, part in enumerate(record.parts):
        np.testing.assert_allclose(
            pcm(tmp_path / "out" / part.audio.file) / FULL_SCALE, noise(144_000, seed=seed), atol=1e-4
        )


def test_combined_recordings_are_cut_to_the_shortest(tmp_path):
    given = track(tmp_path / "in/a", noise(8_000), noise(9_600, seed=1), noise(64_000, seed=2))
    record, remarks = prepared_track(dataclasses.replace(given, combined=True), tmp_path / "out")
    assert record.samples == 8_000 and remarks == []
    for part in given.parts:
        whole = soundfile.read(part.path, dtype="int16", always_2d=True)[0]
        np.testing.assert_array_equal(pcm(tmp_path / f"out/a/{part.number}_vn.wav"), whole[:8_000])


def test_parts_of_other_rates_that_end_a_sample_apart_are_no_news(tmp_path):
    given = track(tmp_path / "in/a", noise(24_001), rate_hz=24_000)
    other = track(tmp_path / "in/b", noise(44_103), rate_hz=44_100)
    both = dataclasses.replace(given, parts=(given.parts[0], dataclasses.replace(other.parts[0], number=2)))
    record, remarks = prepared_track(both, tmp_path / "out")
    assert remarks == [] and {part.audio.origin.rate_hz for part in record.parts} == {24_000, 44_100}
    assert len({len(pcm(tmp_path / "out" / part.audio.file)) for part in record.parts}) == 1


def test_a_prepared_set_knows_its_tracks_and_is_whole_and_small(tmp_path):
    given = [track(tmp_path / "in" / name, noise(60_000), noise(60_000, seed=1)) for name in "ba"]
    calls = []
    assert prepare(given, tmp_path / "out", sample_rate_hz=22_050, workers=2, progress=lambda *c: calls.append(c)) == []
    prepared = Prepared(tmp_path / "out")
    assert calls == [(1, 2), (2, 2)] and check(tmp_path / "out") == []
    assert [(one.name, one.split, one.group) for one in prepared.split("train")] == [
        ("b", "train", "group"),
        ("a", "train", "group"),
    ]
    assert (prepared.sample_rate_hz, prepared.channels) == (22_050, 1)
    assert contents(tmp_path / "out").keys() == {"a/1_vn.wav", "a/2_vn.wav", "b/1_vn.wav", "b/2_vn.wav", MANIFEST}
    raw_bytes = sum(2 * one.samples * len(one.parts) for one in prepared.manifest.tracks)
    assert sum(map(len, contents(tmp_path / "out").values())) <= 1.05 * raw_bytes


# ---------------------------------------------------------------- again, and after a change


def test_a_second_call_does_nothing(tmp_path):
    given = tracks(tmp_path / "in")
    prepare(given, tmp_path / "out", sample_rate_hz=RATE_HZ, workers=1)
    before = stamps(tmp_path / "out")
    calls = []
    assert prepare(given, tmp_path / "out", sample_rate_hz=RATE_HZ, progress=lambda *call: calls.append(call)) == []
    assert stamps(tmp_path / "out") == before and calls == []


def changed_source(given: list[SourceTrack], out: Path) -> None:
    soundfile.write(given[1].parts[0].path, noise(6_000, seed=99), RATE_HZ)


def missing_stem(given: list[SourceTrack], out: Path) -> None:
    (out / "b/2_vn.wav").unlink()


def other_split(given: list[SourceTrack], out: Path) -> None:
    given[1] = SourceTrack("b", "test", "group", given[1].parts)


def recorded(given: list[SourceTrack], out: Path) -> None:
    given[1] = with_mixture(given[1], noise(6_000, seed=50))


@pytest.mark.parametrize("change", [changed_source, missing_stem, other_split, recorded])
def test_what_has_changed_is_prepared_again_and_the_rest_is_left_alone(tmp_path, change):
    given, out = tracks(tmp_path / "in"), tmp_path / "out"
    prepare(given, out, sample_rate_hz=RATE_HZ, workers=1)
    before = stamps(out)
    change(given, out)
    prepare(given, out, sample_rate_hz=RATE_HZ, workers=1)
    after = stamps(out)
    assert all((after[name] == before.get(name)) == (name[0] in "ac") for name in after if name.endswith(".wav"))
    prepare(given, tmp_path / "fresh", sample_rate_hz=RATE_HZ, workers=1)
    assert contents(out) == contents(tmp_path / "fresh")


def test_a_recorded_mixture_that_has_changed_is_prepared_again(tmp_path):
    given = with_mixture(track(tmp_path / "in/a", noise(4_000)), noise(4_000))
    prepare([given], tmp_path / "out", sample_rate_hz=RATE_HZ, workers=1)
    prepare([with_mixture(given, noise(4_000, seed=1))], tmp_path / "out", sample_rate_hz=RATE_HZ, workers=1)
    prepare([given], tmp_path / "fresh", sample_rate_hz=RATE_HZ, workers=1)
    assert contents(tmp_path / "out") == contents(tmp_path / "fresh")


def test_a_track_that_is_no_longer_wanted_goes_and_what_is_not_ours_stays(tmp_path):
    given, out = tracks(tmp_path / "in"), tmp_path / "out"
    prepare(given, out, sample_rate_hz=RATE_HZ, workers=1)
    (out / "my_notes").mkdir()
    (out / "my_notes" / "a.txt").write_text("keep")
    prepare(given[1:], out, sample_rate_hz=RATE_HZ, workers=1)
    prepare(given[1:], tmp_path / "fresh", sample_rate_hz=RATE_HZ, workers=1)
    assert contents(out) == {**contents(tmp_path / "fresh"), "my_notes/a.txt": b"keep"}


@pytest.mark.parametrize("other", [dict(sample_rate_hz=22_050), dict(sample_rate_hz=RATE_HZ, channels=2)])
def test_another_rate_or_number_of_channels_is_refused(tmp_path, other):
    given, out = tracks(tmp_path / "in"), tmp_path / "out"
    prepare(given, out, sample_rate_hz=RATE_HZ, workers=1)
    before = stamps(out)
    with pytest.raises(ValueError, match=f"{out} is prepared at 8000 Hz with 1 channel.*choose another folder") as stop:
        prepare(given, out, **other)
    assert "\n" not in str(stop.value) and stamps(out) == before


# ---------------------------------------------------------------- killed

KILLED = """
import os, signal, sys
from multiprocessing import parent_process
from pathlib import Path
from Input.preparation import SourcePart, SourceTrack, prepare

source, out, moment = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])

def kill_at_the_moment(event, arguments):
    '''Before the n-th change that it or its worker makes in the folder `out`, the process that prepares is killed.'''
    global moment
    if event in ("open", "os.mkdir", "os.rename", "os.remove", "os.rmdir") and str(arguments[0]).startswith(out):
        moment -= 1
        if moment == 0:
            os.kill(os.getpid() if parent_process() is None else os.getppid(), signal.SIGKILL)

sys.addaudithook(kill_at_the_moment)
if __name__ == "__main__":
    track = SourceTrack("a", "train", "group", (SourcePart(1, "vn", source / "1.wav"),))
    prepare([track], Path(out), sample_rate_hz=8000, workers=1)
"""


def killed(folder: Path, source: Path, out: Path, moment: int) -> bool:
    """Whether the moment came before the preparation was through."""
    (folder / "killed.py").write_text(KILLED)
    command = [sys.executable, str(folder / "killed.py"), str(source), str(out), str(moment)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    # Its output ends when the last of its processes has ended: a worker left behind runs into the time-out.
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode in (0, -signal.SIGKILL), done.stderr
    return done.returncode != 0


@pytest.mark.parametrize("again", [False, True])
def test_killed_at_any_moment_the_same_call_makes_what_an_uninterrupted_one_would_have(tmp_path, again):
    """Into a new folder, or on top of an older data set, of which one track is to go and the other has changed."""
    out, before = tmp_path / "out", tmp_path / "before"
    if again:
        older = [track(tmp_path / "old", noise(3_000)), track(tmp_path / "a", noise(3_000))]
        prepare(older, before, sample_rate_hz=RATE_HZ, workers=1)
    given = track(tmp_path / "a", noise(3_000, seed=1))
    prepare([given], tmp_path / "fresh", sample_rate_hz=RATE_HZ, workers=1)
    for moment in range(1, 100 if again else 5):
        shutil.rmtree(out, ignore_errors=True)
        if again:
            shutil.copytree(before, out)
        if not killed(tmp_path, tmp_path / "a", out, moment):
            break
        if (out / MANIFEST).is_file():
            assert check(out) == []
        prepare([given], out, sample_rate_hz=RATE_HZ, workers=1)
        assert contents(out) == contents(tmp_path / "fresh"), moment
    assert moment > 10 or not again


def test_going_on_the_tracks_that_are_whole_are_not_prepared_again(tmp_path):
    given, out = tracks(tmp_path / "in"), tmp_path / "out"
    text = given[2].parts[1].path.read_bytes()
    given[2].parts[1].path.write_text("no audio")
    with pytest.raises(ValueError):
        prepare(given, out, sample_rate_hz=RATE_HZ, workers=1)
    before = stamps(out)
    given[2].parts[1].path.write_bytes(text)
    with (out / JOURNAL).open("a") as journal:
        journal.write('{"name": "c", "spl')  # a line that was cut by a kill
    prepare(given, out, sample_rate_hz=RATE_HZ, workers=1)
    wavs = {name: stamp for name, stamp in before.items() if name.endswith(".wav")}
    assert len(wavs) == 4 and wavs.items() <= stamps(out).items() and check(out) == []


def test_ctrl_c_ends_all_processes_and_none_but_the_first_says_a_word(tmp_path):
    track(tmp_path / "a", np.tile(noise(10_000), (2_000, 1)))
    code = KILLED.replace("    prepare(", "    try:\n        prepare(") + (
        "    except KeyboardInterrupt:\n        print('interrupted', file=sys.stderr)\n"
    )
    (tmp_path / "interrupted.py").write_text(HEED_INTERRUPTS + code)
    out = tmp_path / "out"
    running = subprocess.Popen(
        [sys.executable, str(tmp_path / "interrupted.py"), str(tmp_path / "a"), str(out), "0"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    while not (out / JOURNAL).is_file():
        assert running.poll() is None
        time.sleep(0.01)
    time.sleep(0.1)
    os.killpg(running.pid, signal.SIGINT)  # as a terminal does: to every process
    assert running.communicate(timeout=60)[1] == "interrupted\n"
    assert not (out / MANIFEST).exists()


# ---------------------------------------------------------------- broken input


def test_every_faulty_track_is_named_and_the_good_ones_are_prepared(tmp_path):
    given, out = tracks(tmp_path / "in"), tmp_path / "out"
    broken = noise(4_000)
    broken[2_000] = np.nan
    nan = track(tmp_path / "in" / "nan", noise(4_000), broken, subtype="FLOAT")
    uneven = track(tmp_path / "in" / "uneven", noise(9_000), noise(4_000))
    missing = track(tmp_path / "in" / "missing", noise(4_000), noise(4_000))
    missing.parts[1].path.unlink()
    truncated = track(tmp_path / "in" / "truncated", noise(4_000))
    os.truncate(truncated.parts[0].path, 5_000)
    with pytest.raises(ValueError) as stop:
        prepare([nan, given[0], uneven, given[1], missing, truncated, given[2]], out, sample_rate_hz=RATE_HZ, workers=2)
    assert str(stop.value).split("\n") == sorted(
        [
            f"{nan.parts[1].path} holds NaN or infinity, first at 0.250 s",
            f"{uneven.parts[1].path} lasts 0.50 s, another part of uneven 1.12 s; expected parts of one length",
            f"no such audio file: {missing.parts[1].path}",
            f"{truncated.parts[0].path} is truncated: its header promises 8000 bytes of samples, the file has 4956",
        ]
    )
    with pytest.raises(FileNotFoundError, match=f"{out} holds no manifest.json"):
        Prepared(out)
    assert sorted(path.name for path in out.iterdir()) == [OWN, "a", "b", "c", JOURNAL]
    before = stamps(out)
    prepare(given, out, sample_rate_hz=RATE_HZ, workers=1)
    assert (
        check(out) == []
        and {name: stamps(out)[name] for name in before if name.endswith(".wav")}.items() <= before.items()
    )


def test_every_faulty_file_of_a_track_is_named(tmp_path):
    given = with_mixture(track(tmp_path / "in/a", *(noise(8_000, seed=seed) for seed in range(6))), noise(2_000))
    bad = noise(8_000)
    bad[4_000] = np.inf
    given.parts[0].path.unlink()
    os.truncate(given.parts[2].path, 5_000)
    soundfile.write(given.parts[4].path, noise(8_000, 6), RATE_HZ)
    soundfile.write(given.parts[5].path, noise(4_000), RATE_HZ)
    with pytest.raises(ValueError) as stop:
        prepared_track(given, tmp_path / "out", channels=2)
    folder = tmp_path / "in/a"
    assert str(stop.value).split("\n") == [
        f"no such audio file: {folder}/1.wav",
        f"{folder}/3.wav is truncated: its header promises 16000 bytes of samples, the file has 4956",
        f"{folder}/5.wav: expected 1 or 2 channels. Received: 6",
        f"{folder}/6.wav lasts 0.50 s, another part of a 1.00 s; expected parts of one length",
        f"{folder}/mix.wav lasts 0.25 s, another part of a 1.00 s; expected parts of one length",
    ]
    nan = track(tmp_path / "in/b", bad, noise(8_000), bad, subtype="FLOAT")
    with pytest.raises(ValueError, match="(?s)b/1.wav holds NaN .*b/3.wav holds NaN"):
        prepared_track(nan, tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


def die(*_: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_after_a_worker_was_killed_the_next_call_goes_on(tmp_path, monkeypatch):
    given = tracks(tmp_path / "in")
    monkeypatch.setattr("Input.preparation.prepare_track", die)
    with pytest.raises(OSError, match="a worker was killed .*the same command goes on"):
        prepare(given, tmp_path / "out", sample_rate_hz=RATE_HZ, workers=1)
    monkeypatch.undo()
    prepare(given, tmp_path / "out", sample_rate_hz=RATE_HZ, workers=1)
    assert check(tmp_path / "out") == []


def test_a_data_set_is_not_readable_as_whole_once_a_source_went_bad(tmp_path):
    given, out = tracks(tmp_path / "in"), tmp_path / "out"
    prepare(given, out, sample_rate_hz=RATE_HZ, workers=1)
    given[0].parts[0].path.write_text("no audio")
    for _ in range(2):
        with pytest.raises(ValueError, match="in/a/1.wav cannot be read as audio"):
            prepare(given, out, sample_rate_hz=RATE_HZ, workers=1)
        with pytest.raises(FileNotFoundError):
            Prepared(out)


def test_a_folder_of_something_else_is_left_alone(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.tex").write_text("years of work")
    with pytest.raises(ValueError, match="out is not empty and holds no prepared data set"):
        prepare(tracks(tmp_path / "in"), tmp_path / "out", sample_rate_hz=RATE_HZ)
    assert contents(tmp_path / "out") == {"thesis.tex": b"years of work"}


@contextmanager
def without_root():
    """Permissions do not bind root: another user's are taken for a while."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(65_534)
    try:
        yield
    finally:
        os.seteuid(user)


def test_an_output_folder_that_cannot_be_written_is_an_oserror_of_its_path(tmp_path):
    given = tracks(tmp_path / "in")
    (tmp_path / "file").write_text("in the way")
    for out in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(OSError, match="in the way|Not a directory|File exists") as stop:
            prepare(given, out, sample_rate_hz=RATE_HZ)
        assert str(stop.value.filename).startswith(str(tmp_path / "file"))
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        os.chmod(folder, 0o555)
        with without_root(), pytest.raises(PermissionError) as stop:
            prepare(given, Path(folder), sample_rate_hz=RATE_HZ)
        assert str(stop.value.filename).startswith(folder) and not list(Path(folder).iterdir())


def test_a_full_disk_is_an_oserror_and_nothing_is_taken_for_whole(tmp_path):
    """The limit on a file's size stands in for the disk's end."""
    given = track(tmp_path / "in" / "a", noise(4_000), noise(4_000))
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    (tmp_path / "out").mkdir()
    resource.setrlimit(resource.RLIMIT_FSIZE, (6_000, hard))
    try:
        with pytest.raises(OSError, match="1_vn.wav .*is the disk full"):
            prepare_track(given, tmp_path / "out", RATE_HZ, 1)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    assert list((tmp_path / "out").iterdir()) == []


# ---------------------------------------------------------------- check


def flip_a_byte(path: Path) -> None:
    whole = bytearray(path.read_bytes())
    whole[-1] ^= 1
    path.write_bytes(whole)


@pytest.mark.parametrize("damage", [flip_a_byte, Path.unlink, lambda path: os.truncate(path, 100)])
def test_a_damaged_file_is_found_and_prepared_again(tmp_path, damage):
    given, out = tracks(tmp_path / "in"), tmp_path / "out"
    prepare(given, out, sample_rate_hz=RATE_HZ, workers=1)
    whole = contents(out)
    damage(out / "b/2_vn.wav")
    assert check(out) == ["b/2_vn.wav"]
    shutil.rmtree(out / "b")
    prepare(given, out, sample_rate_hz=RATE_HZ, workers=1)
    assert check(out) == [] and contents(out) == whole


def test_only_a_finished_preparation_can_be_opened(tmp_path):
    for folder in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(FileNotFoundError, match=f"{folder} holds no manifest.json: expected a folder that Prepare"):
            Prepared(folder)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"sample_rate_hz": 8000}', '{"sample_rate_hz": 8000, "channels": 1, "tracks": 7}']
)
def test_a_damaged_manifest_is_one_line(tmp_path, text):
    (tmp_path / MANIFEST).write_text(text)
    with pytest.raises(ValueError, match="manifest.json is damaged.*; prepare into another folder") as stop:
        Prepared(tmp_path)
    assert "\n" not in str(stop.value)


def of_format_1(manifest: Manifest) -> dict:
    """The manifest that earlier versions wrote of the same files."""

    def entry(part: Part) -> dict:
        origin = {f"source_{name}": value for name, value in part.audio.origin.model_dump(mode="json").items()}
        about = {"number": part.number, "instrument": part.instrument}
        return {**about, "file": part.audio.file, "sha256": part.audio.sha256, **origin}

    tracks = [
        {name: getattr(track, name) for name in ("name", "split", "group", "samples")}
        | {"parts": [*map(entry, track.parts)], "mixture": track.mixture and entry(track.mixture)}
        for track in manifest.tracks
    ]
    return {"format": 1, "sample_rate_hz": manifest.sample_rate_hz, "channels": manifest.channels, "tracks": tracks}


@pytest.mark.parametrize("finished", [True, False])
def test_what_an_earlier_version_prepared_is_read_and_gone_on_with(tmp_path, finished):
    parts = [noise(3_000, seed=seed) for seed in range(2)]
    given = [with_mixture(track(tmp_path / "in" / name, *parts), sum(parts)) for name in "ab"]
    prepare(given, tmp_path / "out", sample_rate_hz=RATE_HZ, workers=1)
    manifest = Prepared(tmp_path / "out").manifest
    assert manifest.format == 2 and manifest.tracks[0].mixture
    earlier = of_format_1(manifest)
    if finished:
        (tmp_path / "out" / MANIFEST).write_text(json.dumps(earlier))
        assert Prepared(tmp_path / "out").manifest == manifest
    else:
        (tmp_path / "out" / MANIFEST).unlink()
        lines = [{**earlier, "tracks": []}, earlier["tracks"][0]]
        (tmp_path / "out" / JOURNAL).write_text("".join(json.dumps(line) + "\n" for line in lines))
    before = stamps(tmp_path / "out/a")
    prepare(given, tmp_path / "out", sample_rate_hz=RATE_HZ, workers=1)
    assert stamps(tmp_path / "out/a") == before
    assert Prepared(tmp_path / "out").manifest == manifest


# ---------------------------------------------------------------- reading what is prepared


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize(
    ("start", "samples"),
    [(0, 500), (3, 100), (-70, 100), (450, 100), (-10, 520), (-100, 100), (500, 10), (-9_999, 5), (9_999, 5), (7, 0)],
)
def test_an_excerpt_is_the_files_samples_and_silence_outside(make_prepared, channels, start, samples):
    prepared = make_prepared({"a_vn": 500}, channels=channels)
    (part,) = prepared.split("train")[0].parts
    whole = soundfile.read(prepared.root / part.audio.file, dtype="float32", always_2d=True)[0]
    silence = np.zeros((10_000, channels), np.float32)
    received = prepared.read(part, start, samples)
    assert received.dtype == np.float32
    expected = np.concatenate([silence, whole, silence])[10_000 + start : 10_000 + start + samples]
    np.testing.assert_array_equal(received, expected)


def test_sources_are_the_sums_of_their_parts(make_prepared):
    prepared = make_prepared({"a_vn_vc_vn": 500})
    (one,) = prepared.split("train")
    first, cello, second = (prepared.read(part, 0, 500) for part in one.parts)
    received = prepared.sources(one, Sources(("cl", "vc", "vn")))
    np.testing.assert_array_equal(received, np.stack([np.zeros((500, 1)), cello, first + second], axis=1))
    np.testing.assert_array_equal(prepared.sources(one, Sources(("cl", "vc", "vn")), 100, 50), received[100:150])
    beyond = prepared.sources(one, Sources(("cl", "vc", "vn")), -5, 510)
    np.testing.assert_array_equal(beyond[5:505], received)
    assert not beyond[:5].any() and not beyond[505:].any()


def test_labels_and_sources_follow_the_names(make_prepared):
    prepared = make_prepared({"a_vn_vc_vn": 5})
    (one,) = prepared.split("train")
    wanted = Sources(("vn", "cl", "vc"))
    known = PreparedReferences(prepared, (one,)).contexts(one, wanted, ["labels"])
    assert {name: array.tolist() for name, array in known.items()} == dict.fromkeys(("labels", "present"), [1, 0, 1])
    of_parts = Sources(wanted.names, targets="parts")
    known = PreparedReferences(prepared, (one,)).contexts(one, of_parts, ["labels"])
    assert known["labels"].tolist() == [[1, 0, 0], [0, 0, 1], [1, 0, 0]] and known["present"].tolist() == [1, 1, 1]
    assert [wanted.class_of(one, part.instrument) for part in one.parts] == [0, 2, 0]
    with pytest.raises(ValueError, match="a_vn_vc_vn: instrument 'vc' is not among the sources vn, cl") as mistake:
        Sources(("vn", "cl")).class_of(one, "vc")
    assert "\n" not in str(mistake.value)


def test_a_source_may_hold_several_instruments(make_prepared):
    prepared = make_prepared({"a_vocals_bass_drums_vocals": 50, "b_vocals": 50})
    wanted = Sources(("accompaniment", "vocals"), {"accompaniment": ("bass", "drums", "other")})
    band, alone = prepared.split("train")
    first, bass, drums, second = (prepared.read(part, 0, 50) for part in band.parts)
    np.testing.assert_array_equal(prepared.sources(band, wanted), np.stack([bass + drums, first + second], axis=1))
    truth = PreparedReferences(prepared, (band, alone))
    labels = [truth.contexts(track, wanted, ["labels"])["labels"].tolist() for track in truth.tracks]
    assert labels == [[1, 1], [0, 1]]


@pytest.fixture
def remote(make_prepared):
    """The same prepared data set on this machine and on a file system of fsspec that holds it in memory."""
    here, there = make_prepared({"a_vn_vc": 50, "b_fl": 20}), fsspec.filesystem("memory")
    there.put(str(here.root), "/bucket/prepared", recursive=True)
    yield here, there
    there.store.clear()
    there.pseudo_dirs[:] = [""]


def test_a_data_set_may_lie_on_object_storage(remote):
    here, _ = remote
    there = Prepared("memory://bucket/prepared/")
    assert there.manifest == here.manifest and there.split("train") == here.split("train")
    for track in here.split("train"):
        for part in track.parts:
            for start, samples in ((0, track.samples), (-3, 10), (track.samples - 2, 9), (track.samples + 5, 4)):
                np.testing.assert_array_equal(there.read(part, start, samples), here.read(part, start, samples))
            assert not there.damaged(part.audio)


@pytest.mark.parametrize("stored", [False, True])
def test_any_array_is_a_stream_that_is_read_in_pieces(remote, stored):
    """Frames of a video, as npy, here and on object storage."""
    prepared, there = remote
    frames = np.random.default_rng(0).integers(0, 255, (50, 4, 6, 3)).astype(np.uint8)
    path = prepared.root / "a_vn_vc/1_vn.frames.npy"
    np.save(path, frames)
    about = {"axes": ("time", "height", "width", "channel"), "shape": frames.shape, "dtype": frames.dtype.str}
    about |= {"first_byte": path.stat().st_size - frames.nbytes, "rate_hz": 25.0, "offset_seconds": -0.04}
    stream = Stream(file="a_vn_vc/1_vn.frames.npy", sha256=sha256(path), **about)
    track = prepared.manifest.tracks[0]
    part = track.parts[0].model_copy(update={"streams": track.parts[0].streams | {"frames": stream}})
    tracks = (track.model_copy(update={"parts": (part,)}),)
    (prepared.root / MANIFEST).write_text(prepared.manifest.model_copy(update={"tracks": tracks}).model_dump_json())
    there.put(str(prepared.root), "/bucket/streams", recursive=True)
    there = Prepared("memory://bucket/streams" if stored else prepared.root)
    known = there.manifest.tracks[0].parts[0].streams["frames"]
    assert known == stream and not there.damaged(known)
    padded = np.concatenate([np.zeros((9, 4, 6, 3), np.uint8), frames, np.zeros((9, 4, 6, 3), np.uint8)])
    for first, count in [(0, 50), (7, 3), (-4, 8), (45, 10), (50, 3), (-9, 5), (20, 0)]:
        np.testing.assert_array_equal(there.rows(known, first, count), padded[first + 9 :][:count])


def test_damage_on_object_storage_is_one_line(remote):
    here, files = remote
    files.pipe("/bucket/prepared/b_fl/1_fl.wav", bytes(84))
    files.rm("/bucket/prepared/a_vn_vc/1_vn.wav")
    there = Prepared("memory://bucket/prepared")
    with pytest.raises(ValueError, match="memory://bucket/prepared/a_vn_vc/1_vn.wav is missing or has not its 144"):
        there.split("train")
    first, second = there.manifest.tracks
    assert (
        there.damaged(first.parts[0].audio)
        and there.damaged(second.parts[0].audio)
        and not there.damaged(first.parts[1].audio)
    )
    with pytest.raises(ValueError, match="memory://bucket/prepared/a_vn_vc/1_vn.wav cannot be read"):
        there.read(first.parts[0], 0, 5)
    with pytest.raises(FileNotFoundError, match="memory://bucket/none holds no manifest.json"):
        Prepared("memory://bucket/none")
    with pytest.raises(ValueError, match="nowhere://bucket cannot be opened"):
        Prepared("nowhere://bucket")


def test_an_unknown_split_is_one_line_with_those_that_exist(make_prepared):
    with pytest.raises(ValueError, match="has no track in the split 'test'; it has: train$"):
        make_prepared({"a_vn": 5}).split("test")


def test_a_stem_that_has_gone_is_one_line(make_prepared):
    prepared = make_prepared({"a_vn": 5})
    (part,) = prepared.split("train")[0].parts
    (prepared.root / part.audio.file).unlink()
    with pytest.raises(ValueError, match="a_vn/1_vn.wav cannot be read .*Prepare.py check") as stop:
        prepared.read(part, 0, 5)
    assert "\n" not in str(stop.value)


def test_a_data_set_may_have_more_stems_than_a_process_may_open(make_prepared):
    prepared = make_prepared({"a" + 40 * "_vn": 5, "b" + 40 * "_vc": 5})
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/dev/fd")) + 20, hard))
    try:
        for one in prepared.split("train"):
            assert prepared.sources(one, Sources(("vn", "vc"))).any()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
