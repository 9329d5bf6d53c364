"""Long windows beside the published short ones: `python -m benchmarks.separation [WINDOW_SAMPLES]`.

Prints one JSON line: seconds to separate five minutes with the published model, by long windows and by sliding the
window of 16389 samples with the same weights, their ratio, and the largest difference between the two estimates. The
short windows, all of one length and hence of one cost, are measured on the first seconds and scaled. Compiling, by a
window of silence, does not count. Ends with 1 where the ratio is below 5 or the difference above 1e-5.
"""

import json
import resource
import sys
import time
from collections.abc import Iterator

import keras
import numpy as np

from Models.lengths import Ladder
from Models.separation import WINDOW_SAMPLES, separate
from Models.wave_unet import wave_unet

SAMPLE_RATE_HZ = 22_050
SECONDS = 300
SHORT_WINDOW_SAMPLES = 16_384
SHORT_WINDOWS = 24
BLOCK_SAMPLES = 1 << 16
SMALLEST_RATIO, LARGEST_DIFFERENCE = 5, 1e-5
LADDER = Ladder(levels=12, down_size=15, up_size=5)
LABELS = np.array([1, 1, 1] + 10 * [0], np.float32)


def main() -> None:
    """Measures both and prints them."""
    window_samples = int(sys.argv[1]) if len(sys.argv) > 1 else WINDOW_SAMPLES
    keras.utils.set_random_seed(0)
    separator = wave_unet(13, conditioning="film")
    part_samples = SHORT_WINDOWS * SHORT_WINDOW_SAMPLES
    long_seconds, long_estimates = timed(separator, SECONDS * SAMPLE_RATE_HZ, window_samples, part_samples)
    peak_gb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
    part_seconds, short_estimates = timed(separator, part_samples, SHORT_WINDOW_SAMPLES, part_samples)
    short_seconds = part_seconds * SECONDS * SAMPLE_RATE_HZ / part_samples
    difference = float(np.abs(long_estimates - short_estimates)[: -LADDER.context_samples].max())
    measured = {
        "benchmark": "separation",
        "seconds_of_audio": SECONDS,
        "window_samples": window_samples,
        "seconds": round(long_seconds, 1),
        "peak_gb": round(peak_gb, 2),
        "short_window_samples": SHORT_WINDOW_SAMPLES,
        "short_seconds": round(short_seconds, 1),
        "short_measured_on_seconds_of_audio": round(part_samples / SAMPLE_RATE_HZ, 1),
        "ratio": round(short_seconds / long_seconds, 2),
        "largest_difference": difference,
    }
    print(json.dumps(measured))
    sys.exit(short_seconds < SMALLEST_RATIO * long_seconds or difference > LARGEST_DIFFERENCE)


def timed(separator: keras.Model, samples: int, window_samples: int, kept_samples: int) -> tuple[float, np.ndarray]:
    """Seconds to separate so much noise, and the first of its sources (T, S, C)."""
    for _ in separate(separator, LADDER, [np.zeros((1, 1), np.float32)], LABELS, window_samples=window_samples):
        pass
    kept: list[np.ndarray] = []
    begin = time.perf_counter()
    for sources in separate(separator, LADDER, noise(samples), LABELS, window_samples=window_samples):
        if sum(map(len, kept)) < kept_samples:
            kept.append(sources)
    return time.perf_counter() - begin, np.concatenate(kept)[:kept_samples]


def noise(samples: int) -> Iterator[np.ndarray]:
    """Blocks (t, 1) of noise, the same in every call, so many samples in all."""
    random = np.random.default_rng(0)
    for start in range(0, samples, BLOCK_SAMPLES):
        yield random.normal(0, 0.1, (BLOCK_SAMPLES, 1)).astype(np.float32)[: samples - start]


if __name__ == "__main__":
    main()
