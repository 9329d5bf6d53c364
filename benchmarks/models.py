"""How fast each preset separates: `python -m benchmarks.models [PRESET...]`.

Prints one JSON line for each preset: seconds to separate one window, as long as `Separate.py` takes it, and seconds of
audio in it over these (`times_real_time`); the first window, which compiles, does not count. Weights are random.
"""

import json
import sys
import time

import Config
from Models import networks
from Models.separation import WINDOW_SAMPLES, separate

import numpy as np

WINDOWS = 2


def main() -> None:
    """Measures the presets that the command line names, or all that separate."""
    separating = [
        name for name, preset in Config.PRESETS.items() if preset.get("model", {}).get("network") != "recogniser"
    ]
    for name in sys.argv[1:] or separating:
        print(json.dumps({"benchmark": "models", "preset": name, **measured(name)}), flush=True)


def measured(preset: str) -> dict[str, float]:
    """Separates noise of a few windows with one preset."""
    config = Config.resolve(Config.Training, Config.PRESETS, [preset], {})
    choices, data = config.model.model_dump(), config.data
    separator = networks.built(len(data.sources), data.channels, **choices)
    separator.compile(jit_compile=True)
    lengths = networks.lengths(data.output_samples, **choices)
    noise = np.random.default_rng(0).normal(0, 0.1, ((WINDOWS + 2) * WINDOW_SAMPLES, data.channels)).astype(np.float32)
    blocks = separate(separator, lengths, [noise], {"labels": np.ones(len(data.sources), np.float32)})
    next(blocks)
    begin, samples = time.perf_counter(), 0
    for _ in range(WINDOWS):
        samples += len(next(blocks))
    seconds = time.perf_counter() - begin
    return {
        "seconds_per_window": round(seconds / WINDOWS, 2),
        "times_real_time": round(samples / data.sample_rate_hz / seconds, 2),
    }


if __name__ == "__main__":
    main()
