"""Files whose header is wrong about where the sound ends: what a good file holds must be read all the same."""

import struct
from pathlib import Path

from Input.audio import audio_blocks, audio_info

import numpy as np
import pytest
import soundfile

RATE_HZ = 22_050
SAMPLES = 36_000
# Where each format says how many bytes of sound there are, and how: from a name in it, so many bytes on.
SIZES = {
    "WAV": (b"data", 4, "<I"),
    "WAVEX": (b"data", 4, "<I"),
    "RF64": (b"ds64", 16, "<Q"),
    "W64": (b"data", 16, "<Q"),
    "AIFF": (b"SSND", 4, ">I"),
    "AU": (b".snd", 8, ">I"),
    "CAF": (b"data", 4, ">Q"),
}


def noise(samples: int = SAMPLES, channels: int = 2, seed: int = 0) -> np.ndarray:
    return (0.1 * np.random.default_rng(seed).standard_normal((samples, channels))).astype(np.float32)


def read(path: Path) -> np.ndarray:
    blocks = list(audio_blocks(path))
    assert audio_info(path).samples == sum(map(len, blocks))
    return np.concatenate(blocks)


def written(path: Path, container: str, subtype: str, channels: int = 2, **options: str) -> np.ndarray:
    """Writes noise; what a reader of the good file gets is what must be got of the damaged one."""
    soundfile.write(path, noise(channels=channels), RATE_HZ, format=container, subtype=subtype, **options)
    return soundfile.read(path, dtype="float32", always_2d=True)[0]


def declare(path: Path, container: str, size: int) -> None:
    whole = bytearray(path.read_bytes())
    name, further, form = SIZES[container]
    struct.pack_into(form, whole, whole.index(name) + further, size % (1 << 8 * struct.calcsize(form)))
    path.write_bytes(whole)


def chunk(name: bytes, content: bytes, form: str = "<I", padded: bool = True) -> bytes:
    return name + struct.pack(form, len(content)) + content + b"\0" * (padded and len(content) % 2)


# ---------------------------------------------------------------- sizes that are too small, or none


@pytest.mark.parametrize(
    ("container", "subtype", "channels", "options"),
    [
        ("WAV", "PCM_16", 2, {}),
        ("WAV", "PCM_16", 1, {"endian": "BIG"}),
        ("WAV", "PCM_U8", 1, {}),
        ("WAV", "PCM_24", 2, {}),
        ("WAV", "PCM_32", 1, {}),
        ("WAV", "FLOAT", 2, {}),
        ("WAV", "DOUBLE", 1, {}),
        ("WAV", "ULAW", 1, {}),
        ("WAV", "ALAW", 2, {}),
        ("WAVEX", "PCM_24", 3, {}),
        ("RF64", "PCM_16", 2, {}),
        ("W64", "PCM_24", 2, {}),
        ("AIFF", "PCM_16", 2, {}),
        ("AIFF", "PCM_24", 1, {}),
        ("AIFF", "PCM_16", 2, {"endian": "LITTLE"}),
        ("AIFF", "FLOAT", 1, {}),
        ("AU", "PCM_16", 2, {}),
        ("CAF", "PCM_24", 2, {}),
        ("CAF", "PCM_16", 2, {"endian": "LITTLE"}),
    ],
)
@pytest.mark.parametrize("size", [1_000, 1_003, 0, 30_000])
def test_a_file_that_declares_too_little_is_read_to_its_end(tmp_path, container, subtype, channels, options, size):
    path = tmp_path / "a.wav"
    expected = written(path, container, subtype, channels, **options)
    if container == "WAV" and options:
        whole = bytearray(path.read_bytes())
        struct.pack_into(">I", whole, whole.index(b"data") + 4, size)
        path.write_bytes(whole)
    else:
        declare(path, container, size)
    np.testing.assert_array_equal(read(path), expected)


@pytest.mark.parametrize("size", [0x7FFFF000, 0x7FFFFF00, 0x80000000, 0xFFFFFFFF, 0xFFFFFFFE])
@pytest.mark.parametrize("container", ["WAV", "AIFF", "AU"])
def test_a_size_that_stands_for_an_unknown_one_is_the_files(tmp_path, container, size):
    expected = written(tmp_path / "a.wav", container, "PCM_16")
    declare(tmp_path / "a.wav", container, size)
    np.testing.assert_array_equal(read(tmp_path / "a.wav"), expected)


@pytest.mark.parametrize(("container", "size"), [("AIFF", 0x7F000008), ("RF64", 1 << 62), ("W64", -1), ("CAF", -1)])
def test_each_formats_own_unknown_size_is_the_files(tmp_path, container, size):
    expected = written(tmp_path / "a.wav", container, "PCM_16")
    declare(tmp_path / "a.wav", container, size)
    np.testing.assert_array_equal(read(tmp_path / "a.wav"), expected)


@pytest.mark.parametrize("size", [24, 1_000, 16 + 8 + 4 * SAMPLES])
def test_samples_that_an_aiff_aligns_begin_where_it_says(tmp_path, size):
    expected = written(tmp_path / "a.wav", "AIFF", "PCM_16")
    whole = (tmp_path / "a.wav").read_bytes()
    place = whole.index(b"SSND")
    for offset in (16, 1 << 31):
        aligned = b"SSND" + struct.pack(">III", size, offset, 0) + bytes(range(16)) + whole[place + 16 :]
        (tmp_path / "a.wav").write_bytes(whole[:place] + aligned)
        if offset == 16:
            np.testing.assert_array_equal(read(tmp_path / "a.wav"), expected)
        else:
            with pytest.raises(ValueError, match="a.wav"):
                read(tmp_path / "a.wav")


@pytest.mark.parametrize("riff_size", [0, 36, 992, 0xFFFFFFFF])
@pytest.mark.parametrize("size", [0, 1_000])
def test_the_size_of_the_whole_may_be_wrong_as_well(tmp_path, size, riff_size):
    expected = written(tmp_path / "a.wav", "WAV", "PCM_16")
    declare(tmp_path / "a.wav", "WAV", size)
    whole = bytearray((tmp_path / "a.wav").read_bytes())
    struct.pack_into("<I", whole, 4, riff_size)
    (tmp_path / "a.wav").write_bytes(whole)
    np.testing.assert_array_equal(read(tmp_path / "a.wav"), expected)


@pytest.mark.parametrize("extra", [1, 2, 3, 4, 5, 7])
@pytest.mark.parametrize("declared", [0, 100, 4 * SAMPLES])
def test_what_is_left_is_read_in_whole_samples(tmp_path, declared, extra):
    expected = written(tmp_path / "a.wav", "WAV", "PCM_16")
    declare(tmp_path / "a.wav", "WAV", declared)
    with (tmp_path / "a.wav").open("ab") as file:
        file.write(bytes(extra))
    assert len(received := read(tmp_path / "a.wav")) == SAMPLES + extra // 4
    np.testing.assert_array_equal(received[:SAMPLES], expected)


@pytest.mark.parametrize("seed", range(20))
def test_no_noise_is_taken_for_chunks(tmp_path, seed):
    """Eight bits of any value at any place behind the declared end; letters and zeros, as music and silence have."""
    random = np.random.default_rng(seed)
    sound = [random.integers(0, 256, 5_000), random.integers(32, 127, 5_000), np.zeros(5_000)][seed % 3].astype("u1")
    soundfile.write(tmp_path / "a.wav", np.zeros((5_000, 1)), RATE_HZ, subtype="PCM_U8")
    header = (tmp_path / "a.wav").read_bytes()[:44]
    (tmp_path / "a.wav").write_bytes(header + sound.tobytes())
    declare(tmp_path / "a.wav", "WAV", int(random.integers(0, 4_000)))
    np.testing.assert_array_equal(read(tmp_path / "a.wav")[:, 0] * 128 + 128, sound)


def test_a_span_of_such_a_file_is_that_part_of_it(tmp_path):
    expected = written(tmp_path / "a.wav", "WAV", "PCM_16")
    declare(tmp_path / "a.wav", "WAV", 1_000)
    received = np.concatenate(list(audio_blocks(tmp_path / "a.wav", span_seconds=(0.5, 1.5))))
    np.testing.assert_array_equal(received, expected[11_025:33_075])


# ---------------------------------------------------------------- sizes that are right


CHUNKS = {
    "LIST": chunk(b"LIST", b"INFOISFT\x05\0\0\0Lavf\0\0"),
    "id3": chunk(b"id3 ", b"ID3\x04" + bytes(range(99)), padded=False),
    "bext and cue": chunk(b"bext", bytes(602)) + chunk(b"cue ", bytes(28)),
    "smpl cut short": chunk(b"smpl", bytes(60))[:20],
    "two that nobody knows": chunk(b"aBc1", b"\x07" * 13) + chunk(b"zz  ", bytes(4)),
    "one that nobody knows and some bytes": chunk(b"aBc1", b"\x07" * 14) + b"\xff\xff\xff",
    "an empty one": chunk(b"xxxx", b""),
}


@pytest.mark.parametrize("riff_size", [None, 0, 0xFFFFFFFF])
@pytest.mark.parametrize("after", CHUNKS.values(), ids=CHUNKS)
@pytest.mark.parametrize("padded", [True, False])
@pytest.mark.parametrize("samples", [3_000, 3_001])
def test_chunks_that_follow_the_sound_are_no_sound(tmp_path, samples, padded, after, riff_size):
    """Of 8 bits and one channel, the only sound of an odd number of bytes beside 24 bits."""
    sound = np.random.default_rng(0).integers(0, 256, samples).astype("u1")
    form = struct.pack("<HHIIHH", 1, 1, RATE_HZ, RATE_HZ, 1, 8)
    body = b"WAVE" + chunk(b"fmt ", form) + chunk(b"data", sound.tobytes(), padded=padded) + after
    size = len(body) if riff_size is None else riff_size
    (tmp_path / "a.wav").write_bytes(b"RIFF" + struct.pack("<I", size) + body)
    np.testing.assert_array_equal(read(tmp_path / "a.wav")[:, 0] * 128 + 128, sound)


@pytest.mark.parametrize(
    ("container", "after"),
    [
        ("AIFF", chunk(b"NAME", b"a take", ">I") + chunk(b"blah", b"abc", ">I")),
        ("CAF", chunk(b"info", bytes(20), ">Q") + chunk(b"blah", b"abc", ">Q", padded=False)),
        ("RF64", chunk(b"bext", bytes(602))),
        ("W64", b"levl" + bytes.fromhex("f3acd3118cd100c04f8edb8a") + struct.pack("<Q", 24 + 40) + bytes(40)),
    ],
)
def test_chunks_that_follow_the_sound_are_none_in_other_formats(tmp_path, container, after):
    expected = written(tmp_path / "a.wav", container, "PCM_16")
    with (tmp_path / "a.wav").open("ab") as file:
        file.write(after)
    np.testing.assert_array_equal(read(tmp_path / "a.wav"), expected)


@pytest.mark.parametrize("after", [b"", CHUNKS["LIST"]], ids=["nothing", "LIST"])
@pytest.mark.parametrize("wraps", [1, 2])
def test_a_size_that_wrapped_at_4_gib_is_unwrapped(tmp_path, wraps, after):
    """The file has holes, which take no place on the disk."""
    size = wraps * (1 << 32) + 1_000_000
    written(tmp_path / "a.wav", "WAV", "PCM_16")
    declare(tmp_path / "a.wav", "WAV", size)
    with (tmp_path / "a.wav").open("r+b") as file:
        file.truncate(44 + size)
        file.seek(44 + size)
        file.write(after)
    assert audio_info(tmp_path / "a.wav").samples == size // 4
    start = np.concatenate(list(audio_blocks(tmp_path / "a.wav", span_seconds=(0, SAMPLES / RATE_HZ))))
    np.testing.assert_allclose(start, noise(), atol=1 / (1 << 15))


def test_a_header_without_sound_and_without_bytes_of_it_is_empty(tmp_path):
    for name, after in (("a.wav", b""), ("b.wav", CHUNKS["LIST"])):
        written(tmp_path / name, "WAV", "PCM_16")
        declare(tmp_path / name, "WAV", 0)
        (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:44] + after)
        with pytest.raises(ValueError, match=f"{name} holds no samples"):
            audio_info(tmp_path / name)


# ---------------------------------------------------------------- what is refused


@pytest.mark.parametrize("container", SIZES)
@pytest.mark.parametrize("missing", [2, 50_000])
def test_a_file_that_is_shorter_than_its_header_says_is_truncated(tmp_path, container, missing):
    written(tmp_path / "a.wav", container, "PCM_16")
    whole = (tmp_path / "a.wav").read_bytes()
    (tmp_path / "a.wav").write_bytes(whole[: len(whole) - missing])
    promise = f"promises {4 * SAMPLES} bytes of samples, the file has {4 * SAMPLES - missing}"
    for of in (audio_info, audio_blocks):
        with pytest.raises(ValueError, match=f"a.wav is truncated: its header {promise}"):
            of(tmp_path / "a.wav")


@pytest.mark.parametrize("subtype", ["MS_ADPCM", "IMA_ADPCM", "GSM610", "MPEG_LAYER_III"])
@pytest.mark.parametrize("size", [0, 1_000])
def test_sound_that_needs_its_header_is_refused_where_that_is_wrong(tmp_path, subtype, size):
    if subtype == "MPEG_LAYER_III":
        from encoded import encode

        encode(tmp_path / "a.wav", [noise()], "libmp3lame")
    else:
        written(tmp_path / "a.wav", "WAV", subtype, channels=1)
    audio_info(tmp_path / "a.wav")
    declare(tmp_path / "a.wav", "WAV", size)
    for of in (audio_info, audio_blocks):
        with pytest.raises(ValueError, match=f"a.wav: its header promises {size} bytes of samples, the file has"):
            of(tmp_path / "a.wav")


@pytest.mark.parametrize("rate_hz", [0, 1, 999, 1_000, 768_000, 768_001, 0x7FFFFFFF])
def test_a_rate_that_no_recording_has_is_refused_by_its_number(tmp_path, rate_hz):
    written(tmp_path / "a.wav", "WAV", "PCM_16")
    whole = bytearray((tmp_path / "a.wav").read_bytes())
    struct.pack_into("<I", whole, 24, rate_hz)
    (tmp_path / "a.wav").write_bytes(whole)
    if 1_000 <= rate_hz <= 768_000:
        assert audio_info(tmp_path / "a.wav").sample_rate_hz == rate_hz
        return
    for of in (audio_info, audio_blocks):
        with pytest.raises(ValueError, match="a.wav") as stop:
            of(tmp_path / "a.wav")
        assert rate_hz == 0 or f"expected a sample rate of 1000 to 768000 Hz. Received: {rate_hz} Hz" in str(stop.value)
        assert "\n" not in str(stop.value)


# ---------------------------------------------------------------- Ogg and flac


@pytest.mark.parametrize("subtype", ["OPUS", "VORBIS"])
def test_an_ogg_of_several_streams_is_read_to_its_last(tmp_path, subtype):
    """As a recording of a radio is, in which each piece is a stream."""
    pieces = []
    for name in ("a.ogg", "b.ogg"):
        soundfile.write(tmp_path / name, noise(SAMPLES, 1, ord(name[0])), 48_000, format="OGG", subtype=subtype)
        pieces.append(soundfile.read(tmp_path / name, dtype="float32", always_2d=True)[0])
    (tmp_path / "c.ogg").write_bytes(b"".join((tmp_path / name).read_bytes() for name in ("a.ogg", "b.ogg")))
    np.testing.assert_array_equal(read(tmp_path / "c.ogg"), np.concatenate(pieces))
    soundfile.write(tmp_path / "b.ogg", noise(SAMPLES, 2), 48_000, format="OGG", subtype=subtype)
    (tmp_path / "c.ogg").write_bytes(b"".join((tmp_path / name).read_bytes() for name in ("a.ogg", "b.ogg")))
    with pytest.raises(ValueError, match=r"c.ogg changes its rate or channels after 0\.8 s"):
        audio_info(tmp_path / "c.ogg")


@pytest.mark.parametrize("subtype", ["OPUS", "VORBIS"])
@pytest.mark.parametrize("missing", [1, 100, 10_000])
def test_an_ogg_whose_last_page_is_cut_is_truncated(tmp_path, subtype, missing):
    soundfile.write(tmp_path / "a.ogg", noise(5 * SAMPLES), 48_000, format="OGG", subtype=subtype)
    whole = (tmp_path / "a.ogg").read_bytes()
    (tmp_path / "a.ogg").write_bytes(whole[: len(whole) - missing])
    with pytest.raises(ValueError, match="a.ogg is truncated"):
        audio_info(tmp_path / "a.ogg")


def test_a_flac_of_unknown_length_is_read_to_its_end(tmp_path):
    """As an encoder leaves it that cannot go back: no number of samples, no checksum of them."""
    expected = written(tmp_path / "a.flac", "FLAC", "PCM_16")
    whole = bytearray((tmp_path / "a.flac").read_bytes())
    whole[21] &= 0xF0
    whole[22:42] = bytes(20)
    (tmp_path / "a.flac").write_bytes(whole)
    np.testing.assert_array_equal(read(tmp_path / "a.flac"), expected)


@pytest.mark.parametrize("tag", [b"TAG" + 125 * b"x", b"APETAGEX" + 56 * b"y"])
@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "FLOAT"])
def test_a_tag_behind_a_wav_is_no_sound(tmp_path, tag, subtype):
    path = tmp_path / "a.wav"
    soundfile.write(path, np.zeros((1_000, 2)), 44_100, subtype)
    path.write_bytes(path.read_bytes() + tag)
    assert audio_info(path).samples == 1_000
    assert not np.concatenate(list(audio_blocks(path))).any()
