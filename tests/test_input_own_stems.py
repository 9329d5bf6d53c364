from pathlib import Path

import Prepare
from Input.prepared import Prepared
from Input.readers.own_stems import own_stems
from Input.track_preparation import SourcePart

import numpy as np
import pytest
import soundfile
from encoded import encode

RATE_HZ = 44_100


def add(root: Path, *files: str) -> None:
    """Empty files, and the hidden ones that a Mac leaves beside them."""
    for file in files:
        path = root / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        (path.parent / f"._{path.name}").touch()
        (path.parent / ".DS_Store").touch()


def tone(hz: float, seconds: float = 0.5, channels: int = 2) -> np.ndarray:
    time = np.arange(round(RATE_HZ * seconds))[:, None]
    return (0.1 * np.sin(2 * np.pi * hz * time / RATE_HZ) * np.ones(channels)).astype(np.float32)


def names_of(tracks) -> dict[str, dict[str, list[str]]]:
    found: dict[str, dict[str, list[str]]] = {}
    for track in tracks:
        found.setdefault(track.split, {})[track.name] = [part.instrument for part in track.parts]
    return found


# ---------------------------------------------------------------- what is read


def test_splits_may_be_folders_and_a_source_may_be_missing(tmp_path):
    add(tmp_path, "train/Song, the 1st/vocals.wav", "train/Song, the 1st/drums.m4a", "train/b/drums.ogg")
    add(tmp_path, "valid/c/vocals.flac", "test/d & e/vocals.mp3", "test/d & e/mix.wma", "test_live/f/drums.webm")
    tracks, remarks = own_stems(tmp_path)
    assert names_of(tracks) == {
        "train": {"Song, the 1st": ["drums", "vocals"], "b": ["drums"]},
        "validation": {"c": ["vocals"]},
        "test": {"d & e": ["vocals"]},
        "test_live": {"f": ["drums"]},
    }
    assert remarks == []
    [mixed] = [track for track in tracks if track.mixture]
    assert mixed.mixture == SourcePart(0, "mixture", tmp_path / "test/d & e/mix.wma")
    [live] = [track for track in tracks if track.split == "test_live"]
    assert live.parts == (SourcePart(1, "drums", tmp_path / "test_live/f/drums.webm"),)


def test_without_folders_of_splits_they_are_drawn(tmp_path):
    for number in range(40):
        add(tmp_path, f"track {number}/vocals.wav", f"track {number}/Mixture.wav")
    tracks, _ = own_stems(tmp_path, validation=0.2, test=0.3)
    found = {split: set(names) for split, names in names_of(tracks).items()}
    assert sum(map(len, found.values())) == 40 and len(found["train"]) > len(found["test"]) > len(found["validation"])
    add(tmp_path, "one more/vocals.wav")
    again = {split: set(names) for split, names in names_of(own_stems(tmp_path, 0.2, 0.3)[0]).items()}
    assert all(again[split] - {"one more"} == found[split] for split in found)


def test_what_a_source_is_called_and_what_is_left_alone_is_said(tmp_path):
    add(tmp_path, *(f"{name}/{file}" for name in "abc" for file in ("Lead Vocals.wav", "bass.wav", "lyrics.txt")))
    tracks, remarks = own_stems(tmp_path)
    for track in tracks:  # in the order of the names that they have from here on
        assert [(part.number, part.instrument) for part in track.parts] == [(1, "bass"), (2, "lead_vocals")]
    assert remarks == [
        "the source 'Lead Vocals' is called lead_vocals here",
        "3 file(s) without an ending of sound are left alone, such as a/lyrics.txt",
    ]


# ---------------------------------------------------------------- what is wrong


def test_every_fault_is_a_line(tmp_path):
    add(tmp_path, "train/a/vocals.wav", "train/a/Vocals.mp3", "train/b/mixture.wav", "train/c/Гитара.wav")
    add(tmp_path, "train/d/mix.wav", "train/d/mixture.wav", "train/d/bass.wav", "trian/e/bass.wav")
    add(tmp_path, "train/f/bass.wav", "test/f/bass.wav", "validation/g/notes.txt")
    with pytest.raises(ValueError) as stop:
        own_stems(tmp_path)
    expected = [
        (f"{tmp_path}/trian: expected a track with sound files, or a split: train, ", "test_NAME"),
        (f"{tmp_path}/train/a: the source vocals is there 2 times (", "keep one"),
        (f"{tmp_path}/train/b holds no source ", "vocals.wav)"),
        (f"{tmp_path}/train/c/Гитара.wav: its name holds no letter or digit ", "may have"),
        (f"{tmp_path}/train/d: the source mixture is there 2 times (mix.wav, mixture.wav)", "keep one"),
        (f"{tmp_path}/validation/g holds no source", ""),
        (f"{tmp_path}/train/f/bass.wav: the track f of the split train is also in test ", "rename or remove one"),
    ]
    lines = str(stop.value).split("\n")
    assert len(lines) == len(expected)
    for begin, end in expected:
        assert any(line.startswith(begin) and line.endswith(end) for line in lines), begin


@pytest.mark.parametrize(
    ("files", "line"),
    [
        (("a/bass.wav", "b/bass.wav"), "holds 2 track.*expected 3 or more .*or folders train, validation and test"),
        (("train/bass.wav", "validation/bass.wav", "test/bass.wav"), "train is named like a split and holds no tracks"),
        ((), "holds no folder .*expected <track>/<source>.wav"),
        (("a.wav",), "holds no folder"),
        (("train/notes.txt",), "holds no track"),
    ],
)
def test_a_folder_that_cannot_be_a_data_set_says_what_to_do(tmp_path, files, line):
    add(tmp_path, *files)
    with pytest.raises((ValueError, FileNotFoundError), match=line):
        own_stems(tmp_path)


# ---------------------------------------------------------------- the whole way


def test_the_command_prepares_any_format_and_says_how_to_train(tmp_path, capsys):
    sources = {"vocals": tone(440), "Bass Guitar": tone(110)}
    for number in range(3):
        folder = tmp_path / "in" / f"-song {number}"
        folder.mkdir(parents=True)
        encode(folder / "vocals.m4a", [sources["vocals"]])
        encode(folder / "Bass Guitar.mkv", [sources["Bass Guitar"]], codec="flac")
        soundfile.write(folder / "mixture.flac", sum(sources.values()), RATE_HZ)
    (tmp_path / "in/-song 2/Bass Guitar.mkv").unlink()
    out = tmp_path / "out"
    Prepare.main(["stems", str(tmp_path / "in"), str(out), "--sample-rate", "22050", "--workers", "1"])
    said = capsys.readouterr().out
    prepared = Prepared(out)
    assert sorted(track.split for track in prepared.manifest.tracks) == ["test", "train", "validation"]
    for track in prepared.manifest.tracks:
        heard = {part.instrument: prepared.read(part, 0, track.samples)[::, 0] for part in track.files}
        assert heard.keys() == {"vocals", "mixture"} | ({"bass_guitar"} if track.name != "-song 2" else set())
        for name, hz in {"vocals": 440, "bass_guitar": 110}.items():
            if name in heard:
                spectrum = np.abs(np.fft.rfft(heard[name] * np.hanning(track.samples)))
                assert np.argmax(spectrum) * 22_050 / track.samples == pytest.approx(hz, abs=2)
    # Its bass is missing, so of two equal tones the mixture lacks one:
    assert "-song 2: the recorded mixture differs from the sum of its parts by -3.0 dB" in said
    assert "note: the source 'Bass Guitar' is called bass_guitar here\n" in said
    assert f"{out}: train: 1 tracks, 0.0 minutes\n{out}: validation: 1 tracks" in said
    keys = f"data.prepared={out} data.sample_rate_hz=22050 data.channels=1 data.sources=bass_guitar,vocals\n"
    assert said.endswith(f"train on it: python Training.py with waveunet {keys}")


def test_lengths_that_differ_are_faults_beside_those_of_the_files(tmp_path):
    for name in "abc":
        (tmp_path / "in" / name).mkdir(parents=True)
        for source, seconds in (("bass", 1.0), ("drums", 1.05), ("vocals", 0.5 if name == "b" else 1.0)):
            soundfile.write(tmp_path / f"in/{name}/{source}.wav", tone(100, seconds), RATE_HZ)
    (tmp_path / "in/b/drums.wav").write_text("no sound")
    (tmp_path / "in/c/bass.wav").write_text("no sound")
    with pytest.raises(SystemExit) as stop:
        Prepare.main(["stems", str(tmp_path / "in"), str(tmp_path / "out"), "--workers", "1"])
    lines = str(stop.value).replace("Prepare.py: error: ", "").replace(f"{tmp_path}/in/", "").split("\n")
    reason = "cannot be read as audio (Invalid data found when processing input)"
    assert sorted(lines) == [
        f"b/drums.wav {reason}",
        "b/vocals.wav lasts 0.50 s, another part of b 1.00 s; expected parts of one length",
        f"c/bass.wav {reason}",
    ]


def test_a_folder_of_tests_alone_can_be_prepared_and_one_of_training_alone_cannot(tmp_path, capsys):
    for split in ("test", "train"):
        (tmp_path / split / split / "a").mkdir(parents=True)
        soundfile.write(tmp_path / split / split / "a/bass.wav", tone(100), RATE_HZ)
    Prepare.main(["stems", str(tmp_path / "test"), str(tmp_path / "out"), "--workers", "1"])
    assert f"test on it: python Test.py with run=RUN prepared={tmp_path / 'out'}" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="no track is left for the split 'validation'"):
        Prepare.main(["stems", str(tmp_path / "train"), str(tmp_path / "other")])
    assert not (tmp_path / "other").exists()
