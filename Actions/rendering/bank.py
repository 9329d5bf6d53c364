"""Banks of recorded notes, made even: each at a constant pitch, a constant level and endless.

A recorded note has its own vibrato and its own swell. Both are measured and taken out, so that what a player does to
the note later is exactly what sounds, and the pitch written beside the audio is the pitch that was played.
"""

import json
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile
import soxr
from scipy.ndimage import uniform_filter1d
from scipy.signal import correlate

PACK = Path(__file__).resolve().parent / "demo_pack"
BANKS = ("a", "b")
# Notes are kept at twice the output rate: reading between samples is then clean up to the output's highest frequency.
OVERSAMPLING = 2
# Some files of the pack hold an attack alone (0.2 s); they cannot be sustained.
SHORTEST_SECONDS = 1.0
HOP_SECONDS = 0.005
ATTACK_SECONDS = 0.1
SUSTAINED_RMS = 0.1


class RecordedNote(NamedTuple):
    """A file of the pack, and the MIDI pitch, not always a whole number, that it sounds at."""

    file: str
    pitch: float


class EndlessNote(NamedTuple):
    """Audio (T,) that goes on for ever when, at `loop_end`, it continues from `loop_start` (both in samples)."""

    audio: np.ndarray
    loop_start: float
    loop_end: float


@lru_cache(maxsize=1)
def recorded_notes() -> dict[str, dict[str, tuple[RecordedNote, ...]]]:
    """The usable notes of every bank and instrument: `recorded_notes()["b"]["vn"]`."""
    notes: dict[str, dict[str, tuple[RecordedNote, ...]]] = {bank: {} for bank in BANKS}
    for row in json.loads((PACK / "pack.json").read_text())["samples"]:
        if soundfile.info(PACK / row["file"]).duration >= SHORTEST_SECONDS:
            instruments = notes[row["bank"]]
            instruments[row["ins"]] = (*instruments.get(row["ins"], ()), RecordedNote(row["file"], row["root"]))
    return notes


def can_play(bank: str, lineup: tuple[str, ...]) -> bool:
    """Whether a bank has every instrument of a line-up."""
    return all(instrument in recorded_notes()[bank] for instrument in lineup)


@lru_cache(maxsize=256)
def pitched_note(bank: str, instrument: str, pitch: int, sample_rate_hz: int) -> EndlessNote:
    """The nearest recorded note, moved to `pitch` (MIDI), at OVERSAMPLING times the sample rate."""
    nearest = min(recorded_notes()[bank][instrument], key=lambda note: abs(note.pitch - pitch))
    note, rate_hz = _even_note(nearest)
    ratio = OVERSAMPLING * sample_rate_hz / rate_hz * 2 ** ((nearest.pitch - pitch) / 12)
    audio = soxr.resample(note.audio, 1.0, ratio).astype(np.float32)
    return EndlessNote(audio, note.loop_start * ratio, note.loop_end * ratio)


def read(audio: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """Audio (T,) at fractional sample positions, by four-point Hermite interpolation."""
    index = np.clip(positions.astype(np.int64), 1, len(audio) - 3)
    x = (positions - index).astype(np.float32)
    before, here, after, beyond = (audio[index + offset] for offset in (-1, 0, 1, 2))
    slope = 0.5 * (after - before)
    bend = before - 2.5 * here + 2 * after - 0.5 * beyond
    twist = 0.5 * (beyond - before) + 1.5 * (here - after)
    return ((twist * x + bend) * x + slope) * x + here


@lru_cache(maxsize=64)
def _even_note(recorded: RecordedNote) -> tuple[EndlessNote, int]:
    audio, rate_hz = soundfile.read(PACK / recorded.file, dtype="float64")
    audio = _trimmed(audio, rate_hz)
    audio = _at_constant_pitch(audio, rate_hz, 440 * 2 ** ((recorded.pitch - 69) / 12))
    audio, sustain_end = _at_constant_level(audio, rate_hz)
    return _looped(audio, rate_hz, sustain_end), rate_hz


def _level(audio: np.ndarray, rate_hz: int, seconds: float) -> np.ndarray:
    return np.sqrt(uniform_filter1d(audio**2, max(1, int(seconds * rate_hz))) + 1e-12)


def _trimmed(audio: np.ndarray, rate_hz: int) -> np.ndarray:
    """From shortly before the note speaks, so that notes with a slow swell start as promptly as the others."""
    level = _level(audio, rate_hz, 0.03)
    speaks = int(np.argmax(level > 0.25 * np.median(level)))
    audio = audio[max(0, speaks - int(0.015 * rate_hz)) :].copy()
    fade = int(0.008 * rate_hz)
    audio[:fade] *= np.linspace(0, 1, fade)
    return audio


def _pitch_deviation(audio: np.ndarray, rate_hz: int, pitch_hz: float) -> tuple[np.ndarray, np.ndarray]:
    """Times in seconds, and the pitch there as a ratio to `pitch_hz`, from the phases of its lowest harmonics."""
    hop, width = int(HOP_SECONDS * rate_hz), int(rate_hz * max(4 / pitch_hz, 0.04))
    frames = np.lib.stride_tricks.sliding_window_view(audio, width)[::hop]
    # A phase step is unambiguous up to half a turn a hop: harmonics above 2.5 kHz would wrap under a wide vibrato.
    harmonics = np.arange(1, max(2, min(5, int(2500 / pitch_hz) + 1)))
    angles = 2 * np.pi * np.outer(harmonics * pitch_hz, np.arange(width) / rate_hz)
    kernels = np.hanning(width) * np.stack([np.cos(angles), -np.sin(angles)])
    # Not `@`: its threads would compete with the other workers for the same cores.
    real, imaginary = np.einsum("ft,pht->pfh", frames, kernels)
    spectrum = real + 1j * imaginary
    step = spectrum[1:] * np.conj(spectrum[:-1]) * np.exp(-2j * np.pi * harmonics * pitch_hz * hop / rate_hz)
    weight = np.abs(step) * harmonics**2
    deviation_hz = (weight * np.angle(step) / harmonics).sum(1) / (weight.sum(1) + 1e-20)
    deviation_hz *= rate_hz / (2 * np.pi * hop)
    times = (np.arange(len(step)) * hop + 0.5 * (hop + width)) / rate_hz
    return times, 1 + deviation_hz / pitch_hz


def _at_constant_pitch(audio: np.ndarray, rate_hz: int, pitch_hz: float) -> np.ndarray:
    """The note without its own vibrato and drift: read faster where it is flat, and slower where it is sharp."""
    times, ratio = _pitch_deviation(audio, rate_hz, pitch_hz)
    steady = (times > ATTACK_SECONDS) & (np.abs(np.log2(ratio.clip(0.5, 2))) < 80 / 1200)
    if not steady.any():
        return audio
    samples = np.arange(len(audio))
    warp = np.interp(samples / rate_hz, times[steady], ratio[steady])
    stretched = np.concatenate([[0.0], np.cumsum(warp)[:-1]])
    positions = np.interp(np.arange(int(stretched[-1])), stretched, samples)
    return read(audio, positions)


def _at_constant_level(audio: np.ndarray, rate_hz: int) -> tuple[np.ndarray, int]:
    """The note with its swell and decay evened out after the attack, and the sample where it ceases to be sustained."""
    level = _level(audio, rate_hz, 0.3)
    usual = float(np.median(level))
    sustained = np.flatnonzero(level > 0.3 * usual)
    end = int(min(sustained[-1], len(audio) - 0.1 * rate_hz))
    gain = np.clip(usual / level, 0.4, 3.0)
    gain[: int(ATTACK_SECONDS * rate_hz)] = gain[int(ATTACK_SECONDS * rate_hz)]
    return audio * gain * (SUSTAINED_RMS / usual), end


def _looped(audio: np.ndarray, rate_hz: int, end: int) -> EndlessNote:
    """The note with a loop whose seam is crossfaded where the waveform best repeats itself."""
    fade = int(0.06 * rate_hz)
    ending = audio[end - fade : end]
    search = audio[int(0.3 * end) - fade : int(0.6 * end)]
    energy = np.cumsum(np.concatenate([[0.0], search**2]))
    alike = correlate(search, ending, "valid", "fft") / np.sqrt(energy[fade:] - energy[:-fade] + 1e-9)
    start = int(0.3 * end) + int(np.argmax(alike))
    rise = np.linspace(0, 1, fade)
    seam = ending * (1 - rise) + audio[start - fade : start] * rise
    beyond = audio[start : start + fade]
    return EndlessNote(np.concatenate([audio[: end - fade], seam, beyond]), float(start), float(end))
