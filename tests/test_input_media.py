"""How long a file is that no header says: as long as what is decoded, and that is all of it."""

import struct
from pathlib import Path

from Input.audio import audio_blocks, audio_info

import av
import numpy as np
import pytest
import soundfile
from encoded import encode, packets

pytestmark = pytest.mark.slow

SAMPLES = 100_003


def sweep(samples: int = SAMPLES, channels: int = 2, rate_hz: int = 44_100) -> np.ndarray:
    """Tones that rise at another pace in each channel: no two places of it are alike."""
    seconds = np.arange(samples)[:, None] / rate_hz
    return (0.4 * np.sin(2 * np.pi * (200 + (300 + 100 * np.arange(channels)) * seconds) * seconds)).astype(np.float32)


def read(path: Path, **options) -> np.ndarray:
    return np.concatenate(list(audio_blocks(path, **options)))


# ---------------------------------------------------------------- every container


# What was encoded, sample for sample, or with what the encoder added and no container tells: at most two frames of it.
EXACT = [
    *[("a.wav", codec) for codec in ("pcm_u8", "pcm_s16le", "pcm_s24le", "pcm_s32le", "pcm_f32le", "pcm_mulaw")],
    *[("a.aiff", "pcm_s16be"), ("a.aif", "pcm_s24be"), ("a.au", "pcm_s16be"), ("a.caf", "pcm_s16be")],
    *[("a.caf", "alac"), ("a.flac", "flac"), ("a.ogg", "flac"), ("a.opus", "libopus"), ("a.mp3", "libmp3lame")],
    *[("a.m4a", "aac"), ("a.m4a", "alac"), ("a.mp4", "aac"), ("a.mp4", "libopus"), ("a.mp4", "flac")],
    *[("a.mov", "aac"), ("a.mov", "pcm_s16le"), ("a.3gp", "aac"), ("a.m4b", "aac")],
    *[("a.mka", "libopus"), ("a.mka", "libmp3lame"), ("a.mka", "flac"), ("a.mka", "alac"), ("a.mka", "pcm_s16le")],
    *[("a.mkv", "flac"), ("a.webm", "libopus"), ("a.tta", "tta"), ("a.wv", "wavpack"), ("a.avi", "pcm_s16le")],
]
ABOUT = [
    *[("a.wav", "adpcm_ms"), ("a.wav", "adpcm_ima_wav"), ("a.wav", "libmp3lame"), ("a.w64", "pcm_s16le")],
    *[("a.mp2", "mp2"), ("a.aac", "aac"), ("a.ac3", "ac3"), ("a.eac3", "eac3"), ("a.amr", "libopencore_amrnb")],
    *[("a.mp4", "libmp3lame"), ("a.mp4", "ac3"), ("a.mka", "aac"), ("a.mka", "ac3"), ("a.mka", "mp2")],
    *[("a.wma", "wmav2"), ("a.asf", "wmav1"), ("a.asf", "libmp3lame"), ("a.avi", "libmp3lame"), ("a.avi", "ac3")],
    *[("a.3gp", "libopencore_amrnb"), ("a.ts", "aac"), ("a.mpg", "mp2"), ("a.flv", "aac"), ("a.nut", "aac")],
]


@pytest.mark.parametrize(("name", "codec"), EXACT + ABOUT)
def test_a_files_length_is_that_of_what_is_decoded(tmp_path, name, codec):
    rate_hz = {"libopus": 48_000, "libopencore_amrnb": 8_000}.get(codec, 44_100)
    channels = 1 if "amr" in codec else 2
    encode(tmp_path / name, [sweep(SAMPLES, channels)], codec, rate_hz)
    info = audio_info(tmp_path / name)
    assert info.samples == len(read(tmp_path / name))
    assert (info.sample_rate_hz, info.channels) == (rate_hz, channels)
    exact = (name, codec) in EXACT
    assert info.samples == SAMPLES if exact else abs(info.samples - SAMPLES) <= 2 * 2_048


@pytest.mark.parametrize(
    ("name", "subtype"),
    [("WAV", "GSM610"), ("WAV", "G721_32"), ("AIFF", "IMA_ADPCM"), ("AU", "G723_24"), ("W64", "MS_ADPCM")],
)
def test_the_length_of_what_libsndfile_encodes_is_that_of_what_is_decoded(tmp_path, name, subtype):
    soundfile.write(tmp_path / "a.wav", sweep(channels=1), 44_100, format=name, subtype=subtype)
    assert audio_info(tmp_path / "a.wav").samples == len(read(tmp_path / "a.wav"))


def test_a_file_that_has_changed_is_counted_again(tmp_path):
    for samples in (30_000, 20_000):
        encode(tmp_path / "a.m4a", [sweep(samples)])
        assert audio_info(tmp_path / "a.m4a").samples == samples


@pytest.mark.parametrize("channels", [1, 2])
def test_times_that_jitter_and_leap_lose_no_sample(tmp_path, channels):
    """As telephones write them: the index does not say exactly, and not without gaps, when each packet sounds."""
    encode(tmp_path / "a.m4a", [sweep(SAMPLES, channels)])
    expected = read(tmp_path / "a.m4a")
    for shift in (lambda number: 3 * (number % 2), lambda number: 9_000 * (number > 40)):
        encode(tmp_path / "b.m4a", [sweep(SAMPLES, channels)], shift=shift)
        received = read(tmp_path / "b.m4a")
        assert audio_info(tmp_path / "b.m4a").samples == len(received)
        assert 0 <= len(received) - len(expected) < 1_024  # the times say no more where the padding begins
        np.testing.assert_array_equal(received[:SAMPLES], expected)


# ---------------------------------------------------------------- MPEG audio


def loud_then_quiet(rate_hz: int = 44_100, seconds: int = 5) -> np.ndarray:
    loud = np.random.default_rng(0).standard_normal((seconds * rate_hz, 2)).astype(np.float32)
    return loud * np.where(np.arange(len(loud)) < rate_hz, 0.3, 1e-5)[:, None].astype(np.float32)


def write_mp3(
    path: Path, sound: np.ndarray, mode: str = "VARIABLE", rate_hz: int = 44_100, tagged: bool = True
) -> None:
    soundfile.write(path, sound, rate_hz, format="MP3", bitrate_mode=mode, compression_level=0.3)
    if not tagged:  # the encoder's own frame then passes as one of silence
        whole = path.read_bytes()
        assert whole.count(b"Xing") + whole.count(b"Info") == 1
        path.write_bytes(whole.replace(b"Xing", b"none").replace(b"Info", b"none"))


@pytest.mark.parametrize("mode", ["CONSTANT", "AVERAGE", "VARIABLE"])
@pytest.mark.parametrize("rate_hz", [44_100, 22_050])
@pytest.mark.parametrize("channels", [1, 2])
def test_a_good_mp3_is_what_soundfile_reads(tmp_path, mode, rate_hz, channels):
    write_mp3(tmp_path / "a.mp3", sweep(SAMPLES, channels), mode, rate_hz)
    expected = soundfile.read(tmp_path / "a.mp3", dtype="float32", always_2d=True)[0]
    assert audio_info(tmp_path / "a.mp3").samples == SAMPLES
    np.testing.assert_allclose(read(tmp_path / "a.mp3"), expected, atol=1e-5)


@pytest.mark.parametrize("mode", ["CONSTANT", "AVERAGE", "VARIABLE"])
@pytest.mark.parametrize("backwards", [False, True], ids=["loud first", "quiet first"])
def test_an_mp3_that_does_not_say_its_length_is_read_to_its_end(tmp_path, mode, backwards):
    """What its first frame suggests is a fifth of it or twice as much."""
    sound = loud_then_quiet()[:: -1 if backwards else 1]
    write_mp3(tmp_path / "a.mp3", sound, mode)
    write_mp3(tmp_path / "b.mp3", sound, mode, tagged=False)
    expected, received = read(tmp_path / "a.mp3"), read(tmp_path / "b.mp3")
    assert audio_info(tmp_path / "b.mp3").samples == len(received) and len(expected) == len(sound)
    delay = 1_152 + 1_105  # the encoder's own frame, and what the coder and the decoder need to begin
    assert 0 <= len(received) - delay - len(expected) < 2 * 1_152
    np.testing.assert_allclose(received[delay:][: len(expected)], expected, atol=1e-6)


def ape_tag(content: bytes) -> bytes:
    footer, header = (
        struct.pack("<8sIIIIQ", b"APETAGEX", 2_000, len(content) + 32, 1, flags, 0) for flags in (1 << 31, 5 << 29)
    )
    return header + content + footer


ID3 = b"ID3\x04\0\0\0\0\x08\0" + b"APIC" + np.random.default_rng(0).bytes(1_020)
NO_SOUND = {
    "ID3v1": b"TAG" + bytes(125),
    "APE": ape_tag(np.random.default_rng(0).bytes(30_000)),
    "Lyrics3": b"LYRICSBEGININD0000200000042LYRICS200TAG" + bytes(125),
    "zeros": bytes(3_000),
    "letters": b"lorem ipsum " * 300,
}


@pytest.mark.parametrize("after", NO_SOUND.values(), ids=NO_SOUND)
@pytest.mark.parametrize("tagged", [True, False])
def test_what_follows_the_sound_of_an_mp3_is_no_sound(tmp_path, tagged, after):
    write_mp3(tmp_path / "a.mp3", sweep(), tagged=tagged)
    expected = read(tmp_path / "a.mp3")
    with (tmp_path / "a.mp3").open("ab") as file:
        file.write(after)
    received = read(tmp_path / "a.mp3")
    assert 0 <= len(received) - len(expected) < 1_152  # what the encoder added at the end may be back
    np.testing.assert_array_equal(received[: len(expected)], expected)


@pytest.mark.parametrize(
    "before", [ID3, ID3 + ID3, bytes(2_000), NO_SOUND["letters"]], ids=["1", "2", "zeros", "letters"]
)
def test_what_precedes_the_sound_of_an_mp3_shifts_nothing(tmp_path, before):
    write_mp3(tmp_path / "a.mp3", sweep())
    expected = read(tmp_path / "a.mp3")
    (tmp_path / "a.mp3").write_bytes(before + (tmp_path / "a.mp3").read_bytes())
    np.testing.assert_array_equal(read(tmp_path / "a.mp3"), expected)


@pytest.mark.parametrize("between", [b"", ID3, NO_SOUND["ID3v1"], NO_SOUND["APE"]], ids=["none", "ID3", "v1", "APE"])
@pytest.mark.parametrize("tagged", [True, False])
def test_mp3s_that_were_joined_are_read_to_the_end_of_the_last(tmp_path, tagged, between):
    write_mp3(tmp_path / "a.mp3", sweep(), tagged=tagged)
    whole, expected = (tmp_path / "a.mp3").read_bytes(), read(tmp_path / "a.mp3")
    (tmp_path / "a.mp3").write_bytes(whole + between + whole)
    received = read(tmp_path / "a.mp3")
    delay, frames = 1_105, -(-(SAMPLES + 1_105) // 1_152)
    second = len(received) - (frames * 1_152 - delay)
    assert SAMPLES <= second < SAMPLES + 5 * 1_152
    first = 0 if tagged else 1_152 + delay
    for start in (first, second):
        np.testing.assert_allclose(received[start:][10_000:90_000], expected[first:][10_000:90_000], atol=1e-6)


def test_an_mp3_that_is_damaged_between_its_frames_is_refused(tmp_path):
    for tagged in (True, False):
        write_mp3(tmp_path / "a.mp3", sweep(), tagged=tagged)
        whole = bytearray((tmp_path / "a.mp3").read_bytes())
        whole[10_000:13_000] = np.random.default_rng(0).bytes(3_000)
        (tmp_path / "a.mp3").write_bytes(whole)
        with pytest.raises(ValueError, match=r"a.mp3 breaks off after \d\.\d s"):
            audio_info(tmp_path / "a.mp3")


# ---------------------------------------------------------------- what is cut


@pytest.mark.parametrize("keep", [0.2, 0.6, 0.9])
def test_an_mp3_that_says_its_length_and_is_shorter_is_truncated(tmp_path, keep):
    write_mp3(tmp_path / "a.mp3", loud_then_quiet())
    whole = (tmp_path / "a.mp3").read_bytes()
    (tmp_path / "a.mp3").write_bytes(whole[: int(keep * len(whole))])
    with pytest.raises(ValueError, match=r"a.mp3 is truncated: its header promises \d+ packets of sound, the file has"):
        audio_info(tmp_path / "a.mp3")


@pytest.mark.parametrize("missing", [1, 50])
def test_an_mp4_that_ends_after_a_whole_packet_is_truncated(tmp_path, missing):
    encode(tmp_path / "a.m4a", [sweep()], movflags="faststart")
    cut = packets(tmp_path / "a.m4a")[-missing]
    (tmp_path / "a.m4a").write_bytes((tmp_path / "a.m4a").read_bytes()[:cut])
    for of in (audio_info, read):
        with pytest.raises(ValueError, match=r"a.m4a is truncated: its header promises 99 packets of sound"):
            of(tmp_path / "a.m4a")


@pytest.mark.parametrize(("name", "codec"), [("a.mka", "aac"), ("a.webm", "libopus"), ("a.mka", "ac3")])
def test_a_matroska_that_ends_after_a_whole_packet_is_truncated(tmp_path, name, codec):
    encode(tmp_path / name, [sweep()], codec, 48_000)
    whole, cut = (tmp_path / name).read_bytes(), packets(tmp_path / name)[-40]
    (tmp_path / name).write_bytes(whole[:cut])
    with pytest.raises(ValueError, match="is truncated: its header promises 2.1 s|breaks off after"):
        audio_info(tmp_path / name)


def test_what_lies_behind_a_span_is_neither_decoded_nor_counted(tmp_path):
    for name, codec in (("a.mka", "aac"), ("a.mp3", "libmp3lame"), ("a.aac", "aac")):
        encode(tmp_path / name, [sweep(200_000)], codec)
        whole = bytearray((tmp_path / name).read_bytes())
        whole[90_000:110_000] = np.random.default_rng(0).bytes(20_000)
        (tmp_path / name).write_bytes(whole)
        with pytest.raises(ValueError, match="breaks off after"):
            audio_info(tmp_path / name)
        assert len(read(tmp_path / name, span_seconds=(0.25, 1.0))) == 33_075


@pytest.mark.parametrize("rate_hz", [500, 999])
def test_a_rate_that_no_recording_has_is_refused_before_decoding(tmp_path, rate_hz):
    with av.open(f"{tmp_path / 'a.mka'}", "w") as container:
        stream = container.add_stream("pcm_s16le", rate=rate_hz, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1_000), np.int16), format="s16", layout="mono")
        frame.sample_rate, frame.pts = rate_hz, 0
        container.mux(stream.encode(frame))
    with pytest.raises(ValueError, match=f"a.mka: expected a sample rate of 1000 to 768000 Hz. Received: {rate_hz} Hz"):
        audio_info(tmp_path / "a.mka")
