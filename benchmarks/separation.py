"""Long windows beside the published short ones: `python -m benchmarks.separation [WINDOW_SAMPLES]`.

Prints one JSON line: seconds to separate five minutes with the published model, by long windows and by sliding the
window of 16389 samples with the same weights, their ratio, and the largest difference between the two estimates. The
two take turns, so that a busy machine slows both; the short windows, all of one length and hence of one cost, are
measured on the first seconds and scaled. The first window of each, which compiles, is of silence and does not count.
Ends with 1 where the ratio is below 2.5 or the difference above 1e-5.

The long windows do 4 times fewer multiplications, and windows of any length no more than 4.6 times fewer: nine tenths
of a short window is context, but its way up, half of the work of a long one, is spared the context already.
"""

import itertools
import json
import resource
import sys
import time
from collections.abc import Iterator

from Models.lengths import Ladder
from Models.separation import WINDOW_SAMPLES, separate
from Models.wave_unet import wave_unet

import keras
import numpy as np

SAMPLE_RATE_HZ = 22_050
SAMPLES = 300 * SAMPLE_RATE_HZ
SHORT_WINDOW_SAMPLES = 16_384
SHORT_WINDOWS = 2  # for each long one
BLOCK_SAMPLES = 1 << 16
SMALLEST_RATIO, LARGEST_DIFFERENCE = 2.5, 1e-5
LADDER = Ladder(levels=12, down_size=15, up_size=5)
KNOWN = {"labels": np.array([1, 1, 1] + 10 * [0], np.float32)}


def main() -> None:
    """Measures both and prints them."""
    window_samples = int(sys.argv[1]) if len(sys.argv) > 1 else WINDOW_SAMPLES
    keras.utils.set_random_seed(0)
    separator = wave_unet(13, conditioning="film")
    long, short = timed(windows(separator, window_samples)), timed(windows(separator, SHORT_WINDOW_SAMPLES))
    long_seconds = short_seconds = 0.0
    long_blocks: list[np.ndarray] = []
    short_blocks: list[np.ndarray] = []
    for seconds, block in long:
        long_seconds += seconds
        long_blocks = long_blocks or [block]  # more need not be kept to be compared
        for seconds, block in itertools.islice(short, SHORT_WINDOWS):
            short_seconds += seconds
            short_blocks.append(block)
    short_samples = len(short_blocks) * SHORT_WINDOW_SAMPLES
    short_seconds *= SAMPLES / short_samples
    compared = zip(long_blocks[0], np.concatenate(short_blocks), strict=False)
    difference = float(max(np.abs(one - other).max() for one, other in compared))
    measured = {
        "benchmark": "separation",
        "seconds_of_audio": SAMPLES // SAMPLE_RATE_HZ,
        "window_samples": window_samples,
        "seconds": round(long_seconds, 1),
        "short_window_samples": SHORT_WINDOW_SAMPLES,
        "short_seconds": round(short_seconds, 1),
        "short_measured_on_seconds_of_audio": round(short_samples / SAMPLE_RATE_HZ, 1),
        "ratio": round(short_seconds / long_seconds, 2),
        "largest_difference": difference,
        "peak_gb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9, 2),
    }
    print(json.dumps(measured))
    sys.exit(short_seconds < SMALLEST_RATIO * long_seconds or difference > LARGEST_DIFFERENCE)


def windows(separator: keras.Model, window_samples: int) -> Iterator[np.ndarray]:
    """The sources of five minutes of noise, window by window, after one of silence that is not handed on."""
    list(separate(separator, LADDER, [np.zeros((1, 1), np.float32)], KNOWN, window_samples=window_samples))
    return separate(separator, LADDER, noise(), KNOWN, window_samples=window_samples)


def noise() -> Iterator[np.ndarray]:
    """Blocks (t, 1), the same in every call."""
    random = np.random.default_rng(0)
    for start in range(0, SAMPLES, BLOCK_SAMPLES):
        yield random.normal(0, 0.1, (BLOCK_SAMPLES, 1)).astype(np.float32)[: SAMPLES - start]


def timed(blocks: Iterator[np.ndarray]) -> Iterator[tuple[float, np.ndarray]]:
    """Each block after the seconds that it took to make."""
    begin = time.perf_counter()
    for block in blocks:
        yield time.perf_counter() - begin, block
        begin = time.perf_counter()


if __name__ == "__main__":
    main()
