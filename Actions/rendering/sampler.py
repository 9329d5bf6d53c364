"""From played notes to audio: one bank's recorded notes, read at the played pitch and joined."""

from collections.abc import Sequence

import numpy as np
from scipy.signal import lfilter

from .bank import OVERSAMPLING, pitched_note, read
from .performance import PlayedNote

RELEASE_SECONDS = 0.09
SLUR_SECONDS = 0.045
# Where in the recorded note a slurred one begins: behind the attack, which is the sign of a new bow or breath.
SLUR_START_SECONDS = 0.12
DULL_BELOW_HZ = 1200.0


def play(notes: Sequence[PlayedNote], bank: str, instrument: str, samples: int, sample_rate_hz: int) -> np.ndarray:
    """The dry sound (samples,) of one part."""
    audio = np.zeros(samples, np.float32)
    for i, note in enumerate(notes):
        joined = i + 1 < len(notes) and notes[i + 1].slurred
        sound = _sound(note, joined, bank, instrument, sample_rate_hz)
        start = round(note.onset_seconds * sample_rate_hz)
        sound = sound[: samples - start]
        audio[start : start + len(sound)] += sound
    return audio


def _sound(note: PlayedNote, joined: bool, bank: str, instrument: str, rate_hz: int) -> np.ndarray:
    """One note from its onset to the end of its release, or to the end of the crossfade into a slurred successor."""
    release = round((SLUR_SECONDS if joined else RELEASE_SECONDS) * rate_hz)
    length = max(round((note.offset_seconds - note.onset_seconds) * rate_hz), 8) + release
    speed = OVERSAMPLING * 2 ** (note.cents_at(np.arange(length, dtype=np.float32) / np.float32(rate_hz)) / 1200)
    start = SLUR_START_SECONDS * rate_hz * OVERSAMPLING if note.slurred else 0.0
    endless = pitched_note(bank, instrument, note.pitch, rate_hz)
    positions = start + np.cumsum(speed) - speed[0]
    looped = endless.loop_start + (positions - endless.loop_end) % (endless.loop_end - endless.loop_start)
    sound = read(endless.audio, np.where(positions < endless.loop_end, positions, looped))
    return (_shaded(sound, note.level_db, rate_hz) * _envelope(note, length, release, rate_hz)).astype(np.float32)


def _shaded(sound: np.ndarray, level_db: float, rate_hz: int) -> np.ndarray:
    """A note at its level; a soft one is duller too, as on the instrument."""
    decay = np.exp(-2 * np.pi * min(DULL_BELOW_HZ, 0.2 * rate_hz) / rate_hz)
    dull = lfilter([1 - decay], [1, -decay], sound)
    softness = np.clip(-level_db / 15, 0, 0.8)
    return 10 ** (level_db / 20) * ((1 - softness) * sound + softness * dull)


def _envelope(note: PlayedNote, length: int, release: int, rate_hz: int) -> np.ndarray:
    envelope = np.ones(length)
    rise = min(round((SLUR_SECONDS if note.slurred else 0.004) * rate_hz), length)
    envelope[:rise] = np.sin(0.5 * np.pi * np.arange(rise) / rise)
    envelope[length - release :] *= np.cos(0.5 * np.pi * np.arange(1, release + 1) / release)
    return envelope
