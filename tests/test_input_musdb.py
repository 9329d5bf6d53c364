from collections import Counter
from pathlib import Path

import Prepare
from Input.prepared import Prepared
from Input.readers.musdb import ERRATA, SOURCES, VALIDATION, musdb_tracks
from Input.track_preparation import SourcePart

import numpy as np
import pytest
import soundfile
from encoded import encode

TRAIN = ["Johnny Lokke - Promises & Lies", "Hop Along - Sister Cities", "Music Delta - 80s Rock", "Leaf - Summerghost"]
TEST = ["PR - Oh No", "Angels In Amplifiers - I'm Alright", "Al James, Jr. - A, B & C"]
RATE_HZ = 44_100


def tone(samples: int, source: str) -> np.ndarray:
    """A stereo sweep of each source's own, so that neither sources, channels nor places can be mistaken."""
    seconds = np.arange(samples)[:, None] / RATE_HZ
    pace = 200 * (1 + SOURCES.index(source)) + np.array([0, 70])
    return (0.15 * np.sin(2 * np.pi * (150 + pace * seconds) * seconds)).astype(np.float32)


def add_stems(root: Path, name: str, samples: int = 0, streams: int = 5) -> Path:
    """A file of MUSDB18; without samples an empty one."""
    path = root / f"{name}.stem.mp4"
    path.parent.mkdir(parents=True, exist_ok=True)
    if samples:
        sources = [tone(samples, source) for source in SOURCES]
        encode(path, [sum(sources), *sources][:streams])
    else:
        path.touch()
    (root / f"._{name}.stem.mp4").touch()  # as a Mac leaves them
    return path


def add_folder(root: Path, name: str, samples: int = 0) -> Path:
    """A folder of MUSDB18-HQ."""
    (root / name).mkdir(parents=True)
    sources = {source: tone(samples, source) for source in SOURCES}
    for source, sound in {"mixture": sum(sources.values()), **sources}.items():
        soundfile.write(root / name / f"{source}.wav", sound, RATE_HZ)
        (root / name / f"._{source}.wav").touch()
    (root / ".DS_Store").touch()
    return root / name


@pytest.fixture
def stems(tmp_path):
    for half, names in (("train", TRAIN), ("test", TEST)):
        for name in names:
            add_stems(tmp_path / half, name)
    return tmp_path


# ---------------------------------------------------------------- what is read


def test_the_streams_of_a_stem_file_are_mixture_drums_bass_other_vocals(stems):
    track = next(track for track in musdb_tracks(stems)[0] if track.name == TRAIN[0])
    path = stems / "train" / f"{TRAIN[0]}.stem.mp4"
    assert track.mixture == SourcePart(0, "mixture", path, stream=0)
    assert track.parts == (
        SourcePart(1, "drums", path, stream=1),
        SourcePart(2, "bass", path, stream=2),
        SourcePart(3, "other", path, stream=3),
        SourcePart(4, "vocals", path, stream=4),
    )


def test_the_files_of_hq_are_the_same_parts(tmp_path):
    folder = add_folder(tmp_path / "train", TRAIN[0])
    (tmp_path / "test").mkdir()
    [track], _ = musdb_tracks(tmp_path)
    assert track.mixture == SourcePart(0, "mixture", folder / "mixture.wav")
    assert [(part.number, part.instrument, part.path) for part in track.parts] == [
        (number, source, folder / f"{source}.wav") for number, source in enumerate(SOURCES, 1)
    ]


def test_tracks_keep_their_names_and_the_package_gives_the_validation_split(stems):
    tracks, _ = musdb_tracks(stems)
    splits = {track.name: track.split for track in tracks}
    assert splits == {
        TRAIN[0]: "validation",
        TRAIN[1]: "train",
        TRAIN[2]: "train",
        TRAIN[3]: "validation",
        **dict.fromkeys(TEST, "test"),
    }
    assert len(VALIDATION) == 14
    (stems / "train" / f"{TRAIN[0]}.stem.mp4").rename(stems / "test" / f"{TRAIN[0]}.stem.mp4")
    assert {track.name: track.split for track in musdb_tracks(stems)[0]} == splits | {TRAIN[0]: "test"}


def test_tracks_with_known_errata_are_told(stems):
    _, remarks = musdb_tracks(stems)
    assert remarks == [f"{name}: {ERRATA[name]}" for name in ("Hop Along - Sister Cities", "PR - Oh No")]
    assert "left channel" in remarks[1]


def test_the_split_of_the_paper_is_75_and_25_and_does_not_depend_on_the_order(tmp_path):
    for number in range(100):
        add_stems(tmp_path / "train", f"Artist {number} - Title")
    add_stems(tmp_path / "test", "Artist - Title")
    tracks, _ = musdb_tracks(tmp_path, "stoller2018")
    assert Counter(track.split for track in tracks) == {"train": 75, "validation": 25, "test": 1}
    # Drawn by the names' hash, and not by their order:
    drawn = [int(track.name.split()[1]) for track in tracks if track.split == "validation"]
    assert 30 < np.mean(drawn) < 70 and musdb_tracks(tmp_path, "stoller2018")[0] == tracks


# ---------------------------------------------------------------- what is wrong


def test_every_missing_file_of_hq_is_a_line(tmp_path):
    for name in TRAIN:
        add_folder(tmp_path / "train", name)
    add_folder(tmp_path / "test", TEST[0])
    missing = [f"train/{TRAIN[0]}/bass.wav", f"train/{TRAIN[2]}/mixture.wav", f"test/{TEST[0]}/vocals.wav"]
    for file in missing:
        (tmp_path / file).rename((tmp_path / file).with_suffix(".wma"))
    with pytest.raises(ValueError) as stop:
        musdb_tracks(tmp_path)
    assert set(str(stop.value).split("\n")) == {f"{tmp_path / file} is missing" for file in missing}


def test_a_track_in_both_halves_is_a_fault(stems):
    add_stems(stems / "train", TEST[0])
    with pytest.raises(ValueError, match=f"the track {TEST[0]} of the split test is also in train"):
        musdb_tracks(stems)


@pytest.mark.parametrize("made", [(), ("train",), ("test",), ("train", "test")])
def test_a_folder_of_something_else_is_one_line(tmp_path, made):
    for half in made:
        (tmp_path / half).mkdir()
    with pytest.raises(FileNotFoundError, match="no such folder: .*with train and test|holds no track") as stop:
        musdb_tracks(tmp_path)
    assert "\n" not in str(stop.value)


# ---------------------------------------------------------------- the whole way


@pytest.mark.parametrize("add", [add_stems, add_folder])
def test_the_command_prepares_each_source_in_its_place_and_says_how_to_train(tmp_path, capsys, add):
    samples = 40_001
    for half, name in (("train", TRAIN[1]), ("train", TRAIN[0]), ("test", TEST[1])):
        add(tmp_path / "in" / half, name, samples)
    out = tmp_path / "out put"
    Prepare.main(
        ["musdb", str(tmp_path / "in"), str(out), "--sample-rate", "44100", "--channels", "2", "--workers", "1"]
    )
    said = capsys.readouterr().out
    prepared = Prepared(out)
    assert {track.name: track.split for track in prepared.manifest.tracks} == {
        TRAIN[1]: "train",
        TRAIN[0]: "validation",
        TEST[1]: "test",
    }
    for track in prepared.manifest.tracks:
        assert track.samples == samples and (out / track.name / "0_mixture.wav").is_file()
        received = {part.instrument: prepared.read(part, 0, samples) for part in track.files}
        for source in SOURCES:
            error = np.sum((received[source] - tone(samples, source)) ** 2) / np.sum(tone(samples, source) ** 2)
            assert 10 * np.log10(error) < (-70 if add is add_folder else -30)
        np.testing.assert_allclose(received["mixture"], sum(tone(samples, s) for s in SOURCES), atol=0.05)
    assert f"{out}: train: 1 tracks, 0.0 minutes" in said and f"{out}: test: 1 tracks" in said
    keys = f"'data.prepared={out}' data.sample_rate_hz=44100 data.channels=2 data.sources="
    assert f"python Training.py with full_multi_instrument {keys}bass,drums,other,vocals\n" in said
    assert f"python Training.py with baseline_stereo {keys}accompaniment,vocals\n" in said
    assert ("differs from the sum" in said) == (add is add_stems)  # AAC is lossy, the wavs here are exact


def test_broken_stem_files_are_all_named_and_nothing_is_taken_for_whole(tmp_path, capsys):
    for name in TRAIN:
        add_stems(tmp_path / "in/train", name, 30_000, streams=3 if name == TRAIN[2] else 5)
    cut = tmp_path / "in/train" / f"{TRAIN[1]}.stem.mp4"
    cut.write_bytes(cut.read_bytes()[:9_000])
    add_stems(tmp_path / "in/test", TEST[0])  # empty
    with pytest.raises(SystemExit) as stop:
        Prepare.main(["musdb", str(tmp_path / "in"), str(tmp_path / "out"), "--workers", "2"])
    lines = str(stop.value).split("\n")
    few = tmp_path / "in/train" / f"{TRAIN[2]}.stem.mp4"
    assert sorted(line.removeprefix("Prepare.py: error: ").removeprefix(f"{tmp_path}/in/") for line in lines) == [
        f"test/{TEST[0]}.stem.mp4 cannot be read as audio (Invalid data found when processing input)",
        f"train/{cut.name} cannot be read as audio (Invalid data found when processing input)",
        f"train/{few.name}: expected an audio stream number 3 (from 0). Received: 3 stream(s)",
        f"train/{few.name}: expected an audio stream number 4 (from 0). Received: 3 stream(s)",
    ]
    with pytest.raises(FileNotFoundError):
        Prepared(tmp_path / "out")
    assert not (tmp_path / "out" / TRAIN[2]).exists() and (tmp_path / "out" / TRAIN[0]).is_dir()
