"""The room and the microphones: early reflections, reverberation, and levels that fit a 16-bit file."""

from collections.abc import Sequence

import numpy as np
from scipy.signal import fftconvolve, lfilter

PEAK = 0.97
USUAL_LEVEL_DB = -24.0
FULL_SCALE = 32767


def room_responses(
    parts: int, reverberation_seconds: float, sample_rate_hz: int, rng: np.random.Generator
) -> list[np.ndarray]:
    """An impulse response for each player: own early reflections, and a shared reverberation of the given RT60."""
    times = np.arange(int(reverberation_seconds * sample_rate_hz)) / sample_rate_hz
    tail = lfilter([0.4], [1, -0.6], rng.standard_normal(len(times))) * 10 ** (-3 * times / reverberation_seconds)
    tail[: int(0.02 * sample_rate_hz)] = 0
    tail *= 10 ** (rng.uniform(-20, -10) / 20) / np.sqrt((tail**2).sum())
    return [_response(tail, sample_rate_hz, rng) for _ in range(parts)]


def place(parts: Sequence[np.ndarray], responses: Sequence[np.ndarray], rng: np.random.Generator) -> list[np.ndarray]:
    """The parts as 16-bit samples, each in its place in the room; their sum, the mixture, does not clip."""
    wet = [fftconvolve(part, response)[: len(part)] for part, response in zip(parts, responses, strict=True)]
    wet = [part * (10 ** (rng.normal(USUAL_LEVEL_DB, 2.5) / 20) / _sounding_level(part)) for part in wet]
    peak = np.abs(np.sum(wet, axis=0)).max()
    peak = max(peak, *(np.abs(part).max() for part in wet))
    scale = FULL_SCALE * min(1.0, PEAK / peak)
    fade = np.ones(len(wet[0]))
    fade[-max(1, len(fade) // 100) :] = np.linspace(1, 0, max(1, len(fade) // 100))
    return [np.round(part * fade * scale).astype(np.int16) for part in wet]


def _response(tail: np.ndarray, sample_rate_hz: int, rng: np.random.Generator) -> np.ndarray:
    response = tail * rng.uniform(0.8, 1.2)
    for delay_seconds in rng.uniform(0.004, 0.035, 6):
        gain = rng.choice([-1, 1]) * rng.uniform(0.1, 0.35) * np.exp(-delay_seconds / 0.02)
        response[int(delay_seconds * sample_rate_hz)] += gain
    response[0] += 1
    return response.astype(np.float32)


def _sounding_level(part: np.ndarray) -> float:
    """RMS over the samples that are not silence, so that a part with many rests is not raised for it."""
    power = part**2
    return float(np.sqrt(power[power > 1e-4 * power.max()].mean()))
