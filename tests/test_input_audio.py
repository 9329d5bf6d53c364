from pathlib import Path

from Input import audio
from Input.audio import AudioInfo, audio_blocks, audio_info, resampled, with_channels

import av
import librosa
import numpy as np
import pytest
import soundfile
from encoded import encode

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


# ---------------------------------------------------------------- what libsndfile cannot read


def sweep(samples: int, channels: int = 2, seed: int = 0) -> np.ndarray:
    """Tones that rise at another pace in each channel: no two places of it are alike."""
    seconds = np.arange(samples)[:, None] / 44_100
    pace = 300 + 100 * np.arange(channels) + 50 * seed
    return (0.4 * np.sin(2 * np.pi * (200 + pace * seconds) * seconds)).astype(np.float32)


def error_db(received: np.ndarray, expected: np.ndarray) -> float:
    return 10 * np.log10(np.sum((received - expected) ** 2) / np.sum(expected**2))


@pytest.mark.parametrize("samples", [100_003, 102_400])
@pytest.mark.parametrize(
    ("name", "codec", "worst_db"),
    [
        ("a.m4a", "aac", -40),
        ("a.mp4", "aac", -40),
        ("a.m4a", "alac", -90),
        ("a.mkv", "flac", -90),
        ("a.mov", "pcm_s16le", -90),
        ("a.mov", "pcm_s32le", -120),
    ],
)
@pytest.mark.parametrize("channels", [1, 2])
def test_what_was_encoded_comes_back_in_its_place_and_length(tmp_path, name, codec, worst_db, channels, samples):
    """A shift by one sample would be an error of about -20 dB, one end frame of padding another length."""
    sound = sweep(samples, channels)
    encode(tmp_path / name, [sound], codec=codec)
    received = read(tmp_path / name)
    assert received.shape == sound.shape and received.dtype == np.float32
    assert error_db(received, sound) < worst_db < -25 < error_db(received[1:], sound[:-1])
    info = audio_info(tmp_path / name)
    assert (info.sample_rate_hz, info.channels, info.reader) == (44_100, channels, "ffmpeg")
    assert info.samples == samples


@pytest.mark.parametrize(("name", "codec"), [("a.mka", "aac"), ("a.webm", "libopus"), ("a.mka", "libmp3lame")])
def test_in_containers_that_round_their_lengths_the_beginning_is_still_exact(tmp_path, name, codec):
    encode(tmp_path / name, [sweep(100_003)], codec=codec, sample_rate_hz=48_000)
    received = read(tmp_path / name)
    assert abs(len(received) - 100_003) < 1_300
    assert error_db(received[5_000:95_000], sweep(100_003)[5_000:95_000]) < -24
    assert audio_info(tmp_path / name).samples == len(received)


def test_each_stream_of_a_stem_file_is_read_by_its_number(tmp_path):
    """MUSDB18's form: mixture, drums, bass, other, vocals as stereo AAC streams of one mp4."""
    sources = [sweep(70_001, seed=seed) / 4 for seed in range(4)]
    encode(tmp_path / "a.stem.mp4", [sum(sources), *sources])
    streams = [np.concatenate(list(audio_blocks(tmp_path / "a.stem.mp4", stream=stream))) for stream in range(5)]
    for received, sound in zip(streams, [sum(sources), *sources], strict=True):
        assert received.shape == (70_001, 2) and error_db(received, sound) < -30
    with pytest.raises(ValueError, match=r"a.stem.mp4: expected an audio stream number 5 .* Received: 5 stream"):
        audio_info(tmp_path / "a.stem.mp4", stream=5)
    encode(tmp_path / "a.m4a", [sources[0]])
    with pytest.raises(ValueError, match=r"a.m4a: expected an audio stream number 1 .* Received: 1 stream"):
        audio_blocks(tmp_path / "a.m4a", stream=1)
    soundfile.write(tmp_path / "a.wav", sources[0], 44_100)
    with pytest.raises(ValueError, match=r"a.wav: expected an audio stream number 1 .* Received: 1 stream"):
        audio_info(tmp_path / "a.wav", stream=1)


@pytest.mark.parametrize("name", ["-0RW: %03d 'a' & b#c?.m4a", "concat:a|b.m4a", "http:__x.m4a"])
def test_a_files_name_is_nothing_but_a_name(tmp_path, name, monkeypatch):
    encode(tmp_path / "a.m4a", [sweep(5_000)])
    (tmp_path / "a.m4a").rename(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    assert len(read(Path(name))) == len(read(tmp_path / name)) == 5_000


@pytest.mark.parametrize("name", ["a.wav", "a.m4a"])
@pytest.mark.parametrize("span", [(0.0, 0.5), (0.25, 1.75), (1.6, 2.0), (1.9, 99.0), (5.0, 6.0)])
def test_a_span_is_that_part_of_the_whole(tmp_path, name, span):
    encode(tmp_path / "a.m4a", [sweep(100_003)])
    soundfile.write(tmp_path / "a.wav", sweep(100_003), 44_100)
    first, last = (round(seconds * 44_100) for seconds in span)
    received = list(audio_blocks(tmp_path / name, span_seconds=span))
    np.testing.assert_array_equal(np.concatenate([np.zeros((0, 2)), *received]), read(tmp_path / name)[first:last])


def test_what_lies_outside_a_span_may_be_broken(tmp_path):
    sound = sweep(100_000)
    sound[[20_000, 90_000]] = np.nan
    soundfile.write(tmp_path / "a.wav", sound, 44_100, subtype="FLOAT")
    within = np.concatenate(list(audio_blocks(tmp_path / "a.wav", span_seconds=(0.5, 2.0))))
    np.testing.assert_array_equal(within, sound[22_050:88_200])
    with pytest.raises(ValueError, match=r"first at 2\.041 s"):
        list(audio_blocks(tmp_path / "a.wav", span_seconds=(0.5, 2.1)))
    encode(tmp_path / "a.m4a", [sweep(200_000)])
    whole = bytearray((tmp_path / "a.m4a").read_bytes())
    whole[90_000:110_000] = bytes(20_000)
    (tmp_path / "a.m4a").write_bytes(whole)
    with pytest.raises(ValueError, match="breaks off"):
        read(tmp_path / "a.m4a")
    first = np.concatenate(list(audio_blocks(tmp_path / "a.m4a", span_seconds=(0.0, 1.0))))
    assert error_db(first, sweep(44_100)) < -40


# ---------------------------------------------------------------- what is broken


def encoded(name: str, keep: float = 1.0, damage: slice = slice(0), **options: object):
    """A real m4a or stem.mp4 of which a share is kept, or some bytes are lost."""

    def write(path: Path) -> None:
        encode(path, [sweep(200_000)], **options)
        whole = bytearray(path.read_bytes())
        whole[damage] = bytes(len(whole[damage]))
        path.write_bytes(whole[: int(keep * len(whole))])

    return write


def no_sound(path: Path) -> None:
    with av.open(str(path), "w") as container:
        video = container.add_stream("mpeg4", rate=25)
        video.width = video.height = 32
        video.pix_fmt = "yuv420p"
        for _ in range(3):
            container.mux(video.encode(av.VideoFrame(32, 32, "yuv420p")))
        container.mux(video.encode(None))


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
        ("a.m4a", text, "cannot be read as audio"),
        ("a.m4a", empty, "cannot be read as audio"),
        ("a.mp4", no_sound, "holds no audio stream"),
        ("a.m4a", encoded("a.m4a", 0.6), "cannot be read as audio"),  # its index is at its end
        ("a.m4a", encoded("a.m4a", 0.6, movflags="faststart"), r"breaks off after 2\.\d s"),
        ("a.mka", encoded("a.mka", 0.6), r"truncated: its header promises 4\.\d s, 2\.\d s could be decoded"),
        ("a.m4a", encoded("a.m4a", damage=slice(30_000, 33_000)), "breaks off after|truncated"),
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


def test_a_file_that_may_not_be_opened_is_one_line(tmp_path, monkeypatch):
    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    soundfile.write(tmp_path / "a.wav", noise(1_000), RATE_HZ)
    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(ValueError, match=r"a.wav cannot be read as audio \(Permission denied\)"):
        audio_info(tmp_path / "a.wav")


def test_a_decoder_that_stops_before_the_promised_end_is_noticed(tmp_path, monkeypatch):
    path = tmp_path / "a.flac"
    soundfile.write(path, noise(1_000), RATE_HZ)
    header = soundfile.info(path)
    header.frames = 1_001
    monkeypatch.setattr(soundfile, "info", lambda _: header)
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
