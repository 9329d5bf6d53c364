import struct
from pathlib import Path

from Input import audio
from Input.audio import AudioInfo, audio_blocks, audio_info, resampled, with_channels

import librosa
import numpy as np
import pytest
import soundfile

RATE_HZ = 22_050


def noise(samples: int, channels: int = 1, seed: int = 0) -> np.ndarray:
    return (0.1 * np.random.default_rng(seed).standard_normal((samples, channels))).astype(np.float32)


def read(path: Path, sample_rate_hz: int | None = None) -> np.ndarray:
    return np.concatenate(list(audio_blocks(path, sample_rate_hz)))


# ---------------------------------------------------------------- what is read


@pytest.mark.parametrize(
    ("name", "subtype"),
    [("a.wav", "PCM_16"), ("a.wav", "PCM_24"), ("a.wav", "DOUBLE"), ("a.flac", "PCM_24"), ("a.ogg", "VORBIS")],
)
@pytest.mark.parametrize("channels", [1, 2])
def test_at_its_own_rate_a_file_is_what_soundfile_reads(tmp_path, name, subtype, channels):
    path = tmp_path / name
    soundfile.write(path, noise(2 * audio.BLOCK_SAMPLES + 7, channels), RATE_HZ, subtype=subtype)
    blocks = list(audio_blocks(path))
    assert [block.dtype for block in blocks] == [np.float32] * 3
    assert [len(block) for block in blocks] == [audio.BLOCK_SAMPLES, audio.BLOCK_SAMPLES, 7]
    np.testing.assert_array_equal(np.concatenate(blocks), soundfile.read(path, dtype="float32", always_2d=True)[0])
    assert audio_info(path) == AudioInfo(2 * audio.BLOCK_SAMPLES + 7, RATE_HZ, channels, subtype)


@pytest.mark.parametrize(
    ("from_hz", "to_hz", "samples", "channels"),
    [(48_000, 22_050, 150_001, 1), (44_100, 8_192, 70_000, 2), (22_050, 44_100, 5_000, 2), (16_000, 22_050, 3, 1)],
)
def test_at_another_rate_a_file_is_what_librosa_makes_of_it(tmp_path, from_hz, to_hz, samples, channels):
    path = tmp_path / "a.wav"
    soundfile.write(path, noise(samples, channels), from_hz, subtype="FLOAT")
    received = read(path, to_hz)
    expected = librosa.resample(noise(samples, channels), orig_sr=from_hz, target_sr=to_hz, res_type="soxr_hq", axis=0)
    np.testing.assert_allclose(received, expected[: len(received)], atol=1e-6)  # librosa appends zeros, up to one
    assert len(expected) - len(received) in (0, 1)


@pytest.mark.parametrize("seed", range(20))
def test_the_length_at_another_rate_is_the_rounded_quotient(seed):
    random = np.random.default_rng(seed)
    from_hz, to_hz = random.choice([8_192, 22_050, 44_100, 48_000], 2, replace=False).tolist()
    samples = int(random.integers(1, 100_000))
    length = sum(map(len, resampled(iter([noise(samples)]), from_hz, to_hz, 1)))
    assert abs(length - samples * to_hz / from_hz) <= 0.5


@pytest.mark.parametrize("to_hz", [RATE_HZ, 8_192, 48_000])
@pytest.mark.parametrize("block_samples", [1, 1_000, 1 << 20])
def test_how_the_file_is_cut_into_blocks_changes_nothing(tmp_path, monkeypatch, to_hz, block_samples):
    path = tmp_path / "a.wav"
    soundfile.write(path, noise(4_321, 2), RATE_HZ, subtype="FLOAT")
    whole = read(path, to_hz)
    monkeypatch.setattr(audio, "BLOCK_SAMPLES", block_samples)
    np.testing.assert_array_equal(read(path, to_hz), whole)


def test_a_wav_streamed_with_unknown_length_is_read_to_its_end(tmp_path):
    """As ffmpeg writes a wav to a pipe: the largest number in place of both lengths, and a comment before the data."""
    samples = np.random.default_rng(0).integers(-9_999, 9_999, 5_000).astype("<i2")
    unknown = 0xFFFFFFFF
    header = struct.pack("<4sI4s4sIHHIIHH", b"RIFF", unknown, b"WAVE", b"fmt ", 16, 1, 1, RATE_HZ, 2 * RATE_HZ, 2, 16)
    comment = struct.pack("<4sI4s4sI14s", b"LIST", 26, b"INFO", b"ISFT", 13, b"Lavf63.1.102")
    path = tmp_path / "streamed.wav"
    path.write_bytes(header + comment + struct.pack("<4sI", b"data", unknown) + samples.tobytes())
    np.testing.assert_array_equal(read(path)[:, 0] * (1 << 15), samples)


def test_an_mp3_that_does_not_say_its_length_is_read_to_its_end(tmp_path):
    """Its length is then guessed from its first frame, here too long: what follows the end must not pass as sound."""
    path = tmp_path / "a.mp3"
    soundfile.write(path, noise(80_000), RATE_HZ, compression_level=0.0)
    path.write_bytes(path.read_bytes().replace(b"Xing", b"none"))
    received = read(path)
    assert 80_000 <= len(received) < audio_info(path).samples
    np.testing.assert_array_equal(received, soundfile.read(path, dtype="float32", always_2d=True)[0])


# ---------------------------------------------------------------- what is broken


def text(path: Path) -> None:
    path.write_text("this is no audio\n" * 20)


def empty(path: Path) -> None:
    path.touch()


def no_samples(path: Path) -> None:
    soundfile.write(path, noise(0), RATE_HZ, format="WAV")


def folder(path: Path) -> None:
    path.mkdir()


def truncated(container: str, keep: float):
    def write(path: Path) -> None:
        soundfile.write(path, noise(200_000), RATE_HZ, format=container)
        whole = path.read_bytes()
        path.write_bytes(whole[: min(len(whole) - 2, int(keep * len(whole)))])

    return write


def with_sample(value: float):
    def write(path: Path) -> None:
        samples = noise(100_000, 2)
        samples[70_560:, 1] = value
        soundfile.write(path, samples, 44_100, format="WAV", subtype="FLOAT")

    return write


@pytest.mark.parametrize(
    ("name", "broken", "line"),
    [
        ("a.wav", text, "cannot be read as audio"),
        ("a.wav", empty, "cannot be read as audio"),
        ("a.raw", text, "cannot be read as audio"),
        ("a.wav", no_samples, "holds no samples"),
        ("a.wav", folder, "no such audio file"),
        (
            "a.wav",
            truncated("WAV", 0.6),
            "is truncated: its header promises 400000 bytes of samples, the file has 239982",
        ),
        (
            "a.wav",
            truncated("WAV", 1.0),
            "is truncated: its header promises 400000 bytes of samples, the file has 399998",
        ),
        ("a.aiff", truncated("AIFF", 0.6), "is truncated"),
        ("a.au", truncated("AU", 0.6), "is truncated"),
        ("a.flac", truncated("FLAC", 0.6), "truncated|breaks off after"),
        ("a.flac", truncated("FLAC", 0.01), "truncated|breaks off after"),
        ("a.flac", truncated("FLAC", 1.0), "truncated|breaks off after"),
        ("a.wav", with_sample(np.nan), r"holds NaN or infinity, first at 1\.600 s"),
        ("a.wav", with_sample(np.inf), r"holds NaN or infinity, first at 1\.600 s"),
        ("a.wav", with_sample(-np.inf), r"holds NaN or infinity, first at 1\.600 s"),
    ],
)
@pytest.mark.parametrize("sample_rate_hz", [None, 8_000])
def test_a_broken_file_is_one_line_that_names_it(tmp_path, name, broken, line, sample_rate_hz):
    path = tmp_path / name
    broken(path)
    with pytest.raises((ValueError, FileNotFoundError), match=line) as stop:
        read(path, sample_rate_hz)
    assert str(path) in str(stop.value) and "\n" not in str(stop.value)


@pytest.mark.parametrize("of", [audio_info, audio_blocks])
def test_a_missing_file_is_named_before_anything_is_read(tmp_path, of):
    with pytest.raises(FileNotFoundError, match=f"no such audio file: {tmp_path / 'a.wav'}"):
        of(tmp_path / "a.wav")


def test_a_decoder_that_stops_before_the_promised_end_is_noticed(tmp_path, monkeypatch):
    path = tmp_path / "a.wav"
    soundfile.write(path, noise(1_000), RATE_HZ)
    monkeypatch.setattr(audio, "audio_info", lambda path: AudioInfo(1_001, RATE_HZ, 1, "PCM_16"))
    with pytest.raises(ValueError, match="its header promises 1001 samples, 1000 could be decoded"):
        read(path)


# ---------------------------------------------------------------- channels


def test_mono_is_the_mean_and_stereo_of_mono_is_twice_the_same():
    stereo = noise(100, 2)
    np.testing.assert_allclose(with_channels(stereo, 1), (stereo[:, :1] + stereo[:, 1:]) / 2, atol=1e-8)
    np.testing.assert_array_equal(with_channels(stereo[:, :1], 2), stereo[:, [0, 0]])
    for channels in (1, 2, 6):
        same = noise(100, channels)
        assert with_channels(same, channels) is same


def test_a_change_of_channels_without_one_right_answer_is_refused():
    with pytest.raises(ValueError, match="expected audio of 1 or 2 channels. Received: 6 channels"):
        with_channels(noise(10, 6), 2)
