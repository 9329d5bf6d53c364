"""Estimates as folders of wavs: what is written comes back, and what does not fit is named."""

from Input.stems import flac, read_stems, stem_files, write_clips, write_stems

import numpy as np
import pytest
import soundfile

RATE_HZ = 8_000


def noise(samples, channels=1, seed=0):
    return 0.3 * np.random.default_rng(seed).standard_normal((samples, channels)).astype(np.float32)


@pytest.fixture
def folder(tmp_path):
    """A track with vn and vc, mono, 500 samples."""
    (tmp_path / "t").mkdir()
    for seed, name in enumerate(("vn", "vc")):
        soundfile.write(tmp_path / "t" / f"{name}.wav", noise(500, 1, seed), RATE_HZ, "FLOAT")
    return tmp_path / "t"


# ---------------------------------------------------------------- there and back


@pytest.mark.parametrize("channels", [1, 2, 3])
def test_stems_come_back_bit_by_bit_also_beyond_full_scale(tmp_path, channels):
    sources = np.stack([noise(700, channels, 1), 40 * noise(700, channels, 2), 0 * noise(700, channels)], axis=1)
    write_stems(tmp_path / "t", sources, ["a", "b", "c"], RATE_HZ)
    assert sorted(path.name for path in (tmp_path / "t").iterdir()) == ["a.wav", "b.wav"]
    back = read_stems(tmp_path / "t", ["a", "b", "c"], RATE_HZ, (700, channels))
    assert back.dtype == np.float32
    np.testing.assert_array_equal(back, sources)
    other = read_stems(tmp_path / "t", ["c", "b"], RATE_HZ, (700, channels))
    np.testing.assert_array_equal(other, sources[:, [2, 1]])


@pytest.mark.parametrize("file", ["Vocals.wav", "VOCALS.WAV", "vocals.flac", "vocals.FLAC"])
@pytest.mark.parametrize("name", ["vocals", "Vocals"])
def test_capitals_and_flac_are_read_too(tmp_path, file, name):
    sound = np.round(noise(300) * 32768) / 32768
    kind = "FLAC" if "flac" in file.lower() else "WAV"
    soundfile.write(tmp_path / file, sound, RATE_HZ, "PCM_16", format=kind)
    back = read_stems(tmp_path, [name, "drums"], RATE_HZ, (300, 1), required=[name])
    np.testing.assert_allclose(back[:, 0], sound, atol=1e-9)
    assert not back[:, 1].any()


@pytest.mark.parametrize("other", ["VN.wav", "vn.flac"])
def test_two_files_of_one_source_are_refused(tmp_path, other):
    for name in ("vn.wav", other):
        soundfile.write(tmp_path / name, np.full(10, 0.25), RATE_HZ, "PCM_16")
    with pytest.raises(ValueError, match=r"the source vn is there 2 times \(.*vn\.wav.*\); keep one"):
        read_stems(tmp_path, ["vn"], RATE_HZ, (10, 1))


def test_what_is_no_sound_hidden_or_of_another_source_is_left_alone(folder):
    for name in ("._vn.wav", "notes.txt", ".DS_Store"):
        (folder / name).write_text("something")
    soundfile.write(folder / "mixture.wav", np.zeros(3), 4_000)
    back = read_stems(folder, ["vn", "vc"], RATE_HZ, (500, 1), required=["vn", "vc"])
    np.testing.assert_array_equal(back[:, 1], noise(500, 1, 1))
    assert {path.name for path in stem_files(folder).values()} == {"vn.wav", "vc.wav", "mixture.wav"}


def test_stem_files_are_found_as_written_and_in_small_letters(tmp_path):
    for name in ("Lead Vocals.wav", "bass.FLAC", "x.mp3"):
        (tmp_path / name).touch()
    found = stem_files(tmp_path)
    assert {key: path.name for key, path in found.items()} == {
        "lead_vocals": "Lead Vocals.wav",
        "Lead Vocals": "Lead Vocals.wav",
        "bass": "bass.FLAC",
    }


# ---------------------------------------------------------------- what does not fit


def test_a_source_without_a_file_is_silent_unless_it_is_required(folder):
    back = read_stems(folder, ["fl", "vn"], RATE_HZ, (500, 1), required=["vn"])
    assert not back[:, 0].any()
    with pytest.raises(ValueError) as stop:
        read_stems(folder, ["fl", "vn", "cl"], RATE_HZ, (500, 1), required=["vn", "cl", "fl"])
    assert str(stop.value) == f"{folder}: expected files named fl.wav, cl.wav. Received: vc.wav, vn.wav"


def test_files_of_which_none_is_named_like_a_source_are_a_mistake_and_no_files_are_silence(folder, tmp_path):
    with pytest.raises(ValueError, match=r"expected files named drums.wav, bass.wav. Received: vc.wav, vn.wav$"):
        read_stems(folder, ["drums", "bass"], RATE_HZ, (500, 1))
    (tmp_path / "silent").mkdir()
    assert not read_stems(tmp_path / "silent", ["vn"], RATE_HZ, (5, 2)).any()
    with pytest.raises(ValueError, match=r"silent: expected files named vn.wav. Received: none$"):
        read_stems(tmp_path / "silent", ["vn"], RATE_HZ, (5, 2), required=["vn"])
    with pytest.raises(FileNotFoundError, match="^no estimates at .*nowhere: expected a folder with vn.wav"):
        read_stems(tmp_path / "nowhere", ["vn"], RATE_HZ, (5, 2))


@pytest.mark.parametrize(
    ("rate_hz", "shape", "advice"),
    [
        (4_000, (500, 1), "Received: 8000 Hz, 500 samples, 1 channel(s); score at one rate: resample it, or name "
         "references of 8000 Hz"),
        (RATE_HZ, (420, 1), "it is 0.01 s longer"),
        (RATE_HZ, (4_500, 1), "it is 0.5 s shorter"),
        (RATE_HZ, (501, 1), "it is 0.000125 s shorter"),
        (RATE_HZ, (500, 2), "as many channels as the references"),
    ],
)  # fmt: skip
def test_every_file_of_another_shape_is_a_line_that_says_what_to_do(folder, rate_hz, shape, advice):
    with pytest.raises(ValueError) as stop:
        read_stems(folder, ["vn", "vc"], rate_hz, shape)
    lines = str(stop.value).split("\n")
    expected = f"expected {rate_hz} Hz, {shape[0]} samples, {shape[1]} channel(s)"
    assert [line.partition(":")[0] for line in lines] == [f"{folder}/{name}.wav" for name in ("vn", "vc")]
    assert all(expected in line and advice in line for line in lines)


def test_a_broken_file_and_one_with_nan_are_named(folder):
    sound = noise(500)
    sound[80] = np.nan
    soundfile.write(folder / "vc.wav", sound, RATE_HZ, "FLOAT")
    with pytest.raises(ValueError, match=r"vc\.wav holds NaN or infinity, first at 0\.010 s"):
        read_stems(folder, ["vn", "vc"], RATE_HZ, (500, 1))
    (folder / "vn.wav").write_text("no sound")
    with pytest.raises(ValueError, match=r"vn\.wav cannot be read as audio"):
        read_stems(folder, ["vn"], RATE_HZ, (500, 1))


# ---------------------------------------------------------------- to be listened to


def test_clips_within_full_scale_are_kept_as_they_are(tmp_path):
    clips = {"mixture": noise(400, 2), "vn.estimate": 0.5 * noise(400, 2, 1)}
    assert np.abs(clips["mixture"]).max() > 0.5
    clips["mixture"] /= 2
    assert write_clips(tmp_path / "best", clips, RATE_HZ) == 1
    assert sorted(path.name for path in (tmp_path / "best").iterdir()) == ["mixture.flac", "vn.estimate.flac"]
    for name, clip in clips.items():
        sound, rate_hz = soundfile.read(tmp_path / "best" / f"{name}.flac", always_2d=True)
        assert rate_hz == RATE_HZ
        np.testing.assert_allclose(sound, clip, atol=1 / 32768)


def test_clips_beyond_full_scale_are_lowered_together(tmp_path):
    clips = {"loud": -5 * noise(400), "soft": 0.1 * noise(400, 1, 1)}
    gain = write_clips(tmp_path / "worst", clips, RATE_HZ)
    assert gain == pytest.approx(1 / np.abs(clips["loud"]).max())
    for name, clip in clips.items():
        sound, _ = soundfile.read(tmp_path / "worst" / f"{name}.flac", always_2d=True)
        np.testing.assert_allclose(sound, gain * clip, atol=1.01 / 32768)


def test_silent_clips_are_written_too(tmp_path):
    assert write_clips(tmp_path / "c", {"a": np.zeros((10, 1))}, RATE_HZ) == 1
    assert not soundfile.read(tmp_path / "c" / "a.flac")[0].any()


def test_a_flac_in_memory_is_the_signal_clipped_and_silence_has_none(tmp_path):
    sound = 2 * noise(300, 2)
    (tmp_path / "x.flac").write_bytes(flac(sound, RATE_HZ))
    back, rate_hz = soundfile.read(tmp_path / "x.flac")
    assert rate_hz == RATE_HZ and np.abs(sound).max() > 1
    np.testing.assert_allclose(back, np.clip(sound, -1, 1), atol=1.01 / 32768)
    assert flac(0 * sound, RATE_HZ) is None
