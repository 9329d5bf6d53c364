"""Input/writers.py: what each format keeps of a sound, to the sample, and what it cannot hold."""

from Input.audio import read_audio
from Input.writers import MP3_RATES_HZ, Format, stem_writer, wav_writer

import av
import numpy as np
import pytest
import soundfile

LSB = 1 / 32768


def write(path, sound, rate_hz, form, block=977):
    """In blocks, as Separate.py does."""
    with stem_writer(path, rate_hz, sound.shape[1], form) as append:
        for start in range(0, len(sound), block):
            append(sound[start : start + block])


def music(samples, channels, rate_hz, loudest=0.5):
    """Tones that fall together with no frame of a codec, other ones in each channel: (T, C)."""
    seconds = np.arange(samples)[:, np.newaxis] / rate_hz
    tones_hz = np.array([[311.1, 523.7], [207.3, 433.9]])[:channels]
    sound = sum(np.sin(2 * np.pi * hz * seconds) for hz in tones_hz.T)
    return (loudest / 2 * sound).astype(np.float32)


@pytest.mark.parametrize(("subtype", "expected"), [("PCM_16", [-1, 0.5, 32767 / 32768]), ("FLOAT", [-1.5, 0.5, 1.5])])
def test_a_wav_clips_only_where_it_must(tmp_path, subtype, expected):
    path = tmp_path / "a.wav"
    with wav_writer(path, 8_000, 1, subtype) as file:
        file.write(np.array([-1.5, 0.5, 1.5]))
    assert soundfile.read(path)[0].tolist() == expected


def test_a_wav_that_cannot_be_written_is_an_oserror_of_its_path(tmp_path):
    with pytest.raises(OSError, match=f"{tmp_path}/no/a.wav cannot be written"):
        with wav_writer(tmp_path / "no" / "a.wav", 8_000, 1, "PCM_16"):
            pass


def test_an_mp3_that_cannot_be_written_is_an_oserror_of_its_path(tmp_path):
    with pytest.raises(OSError, match=f"{tmp_path}/no/a.mp3 cannot be written"):
        write(tmp_path / "no" / "a.mp3", music(9_000, 1, 44_100), 44_100, Format("mp3"))


FORMS = {
    "wav": (Format(), LSB),
    "wav of 24 bits": (Format(subtype="PCM_24"), LSB / 256),
    "wav of floats": (Format(subtype="FLOAT"), 0),
    "flac": (Format("flac"), LSB),
    "flac of 24 bits": (Format("flac", "PCM_24"), LSB / 256),
}


@pytest.mark.parametrize("samples", [1, 4_095, 4_096, 4_097, 30_011])
@pytest.mark.parametrize(("channels", "rate_hz"), [(1, 8_000), (2, 44_100), (2, 12_345)])
@pytest.mark.parametrize("form", FORMS)
def test_what_is_written_is_read_again_to_the_sample(tmp_path, form, channels, rate_hz, samples):
    form, tolerance = FORMS[form]
    path, sound = tmp_path / f"a.{form.ending}", music(samples, channels, rate_hz)
    write(path, sound, rate_hz, form)
    received, received_hz = soundfile.read(path, always_2d=True)
    assert received.shape == sound.shape and received_hz == rate_hz
    assert soundfile.info(path).subtype == form.subtype
    np.testing.assert_allclose(received, sound, atol=tolerance, rtol=0)


@pytest.mark.parametrize(("rate_hz", "frame"), [(8_000, 576), (16_000, 576), (22_050, 576), (44_100, 1_152)])
@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("rest", [0, 1, 46, 47, 48, 575])
def test_an_mp3_begins_and_ends_with_its_sound(tmp_path, rate_hz, frame, channels, rest):
    """Its encoder delays the sound and fills its last frame; what the file says about both, readers make up for.

    The least that a file can say is 529 samples, so that up to 46 more remain where the last frame is that empty.
    """
    path, sound = tmp_path / "a.mp3", music(40 * frame + rest, channels, rate_hz)
    write(path, sound, rate_hz, Format("mp3"))
    received = read_audio(path)
    assert received.shape == (len(sound) + (47 - rest if 0 < rest < 47 else 0), channels)
    inner = slice(1_200, len(sound) - 1_200)  # the encoder's filters ring at both ends
    gain = np.vdot(received[inner], sound[inner]) / np.vdot(sound[inner], sound[inner])
    assert 0.94 < gain < 1.001  # below 256 kbit/s, all that rates below 32 kHz may have, LAME leaves headroom
    error_db = 20 * np.log10(np.std(received[inner] - gain * sound[inner]) / np.std(sound[inner]))
    assert error_db < -35, error_db


@pytest.mark.parametrize("kbps", [64, 320])
def test_an_mp3_has_the_bitrate_that_is_wanted(tmp_path, kbps):
    seconds, rate_hz = 3, 44_100
    write(tmp_path / "a.mp3", music(seconds * rate_hz, 2, rate_hz), rate_hz, Format("mp3", bitrate_kbps=kbps))
    assert (tmp_path / "a.mp3").stat().st_size == pytest.approx(seconds * 1_000 * kbps / 8, rel=0.1)


@pytest.mark.parametrize("form", [Format(), Format("flac"), Format("mp3")])
def test_what_is_beyond_full_scale_is_cut_and_does_not_wrap(tmp_path, form):
    rate_hz = 44_100
    sound = music(20_000, 1, rate_hz, loudest=1.6)
    path = tmp_path / f"a.{form.ending}"
    write(path, sound, rate_hz, form)
    error = read_audio(path)[2_000:-2_000] - np.clip(sound, -1, 1)[2_000:-2_000]
    assert np.abs(error).max() < (0.1 if form.ending == "mp3" else LSB * 1.01)  # a wrapped sample is off by 2


@pytest.mark.parametrize(
    ("form", "rate_hz", "channels", "message"),
    [
        (
            Format("mp3"),
            96_000,
            1,
            "expected at most 2 channels and a rate of 8000, .* for mp3. .* 1 channel.* 96000 Hz",
        ),
        (Format("mp3"), 7_999, 2, "for mp3"),
        (Format("mp3"), 44_100, 3, "for mp3. Received: 3 channel"),
        (Format("flac"), 44_100, 9, "expected at most 8 channels and 655350 Hz for flac. Received: 9"),
        (Format("flac"), 700_000, 1, "for flac. .*700000 Hz; take wav"),
    ],
)
def test_what_a_format_cannot_hold_is_refused_in_a_line(form, rate_hz, channels, message):
    with pytest.raises(ValueError, match=message) as error:
        form.require(rate_hz, channels)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("form", "rate_hz", "channels"),
    [
        *((Format("mp3"), rate_hz, channels) for rate_hz in MP3_RATES_HZ for channels in (1, 2)),
        *((Format("flac"), rate_hz, channels) for rate_hz in (1, 12_345, 655_350) for channels in (1, 8)),
        *((Format(subtype=subtype), rate_hz, 12) for rate_hz in (1, 768_000) for subtype in ("PCM_16", "FLOAT")),
        (Format("flac", "PCM_24"), 192_000, 2),
    ],
)
def test_what_is_not_refused_can_be_written(tmp_path, form, rate_hz, channels):
    form.require(rate_hz, channels)
    path = tmp_path / f"a.{form.ending}"
    write(path, np.zeros((3_000, channels), np.float32), rate_hz, form)
    if form.ending == "mp3":
        with av.open(str(path)) as container:
            stream = container.streams.audio[0]
            assert (stream.rate, stream.channels) == (rate_hz, channels)
    else:
        info = soundfile.info(path)
        assert (info.samplerate, info.channels, info.frames) == (rate_hz, channels, 3_000)


def test_only_floats_in_a_wav_hold_everything():
    assert Format(subtype="FLOAT").holds_all
    assert not Format("mp3", "FLOAT").holds_all and not Format().holds_all and not Format("flac").holds_all
