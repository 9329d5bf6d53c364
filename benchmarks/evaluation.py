"""The default metrics of a MUSDB18-sized track beside the reading of its files: `python -m benchmarks.evaluation`.

Four stereo sources of 4 minutes at 44.1 kHz, references of 16 bits and estimates of 32. Prints one JSON line with
seconds of the processor; the files come from the page cache, so that from a disk reading takes longer.
"""

import json
import tempfile
import time
from pathlib import Path

import Metrics
import Utils  # noqa: F401, keeps freed memory as the scripts do
from Input.stems import read_stems

import numpy as np
import soundfile

SAMPLE_RATE_HZ, SAMPLES, CHANNELS = 44_100, 240 * 44_100, 2
SOURCES = ("bass", "drums", "other", "vocals")
REPEATS = 4


def main() -> None:
    """Measures both, the fastest of a few runs each."""
    with tempfile.TemporaryDirectory() as folder:
        references_dir, estimates_dir = Path(folder, "references"), Path(folder, "estimates")
        for seed, (where, subtype) in enumerate(((references_dir, "PCM_16"), (estimates_dir, "FLOAT"))):
            write(where, subtype, seed)
        reading, scoring = [], []
        for _ in range(REPEATS):
            begin = time.process_time()
            references, estimates = (
                read_stems(where, SOURCES, SAMPLE_RATE_HZ, (SAMPLES, CHANNELS))
                for where in (references_dir, estimates_dir)
            )
            reading.append(time.process_time() - begin)
            begin = time.process_time()
            mixture = references.sum(axis=1)
            Metrics.score_track("track", references, estimates, mixture, SOURCES, SAMPLE_RATE_HZ)
            scoring.append(time.process_time() - begin)
    measured = {"seconds_reading": round(min(reading), 2), "seconds_scoring": round(min(scoring), 2)}
    print(json.dumps({"benchmark": "evaluation", **measured, "ratio": round(min(scoring) / min(reading), 2)}))


def write(folder: Path, subtype: str, seed: int) -> None:
    """Writes noise as the sources of a track."""
    folder.mkdir()
    random = np.random.default_rng(seed)
    for source in SOURCES:
        noise = 0.1 * random.standard_normal((SAMPLES, CHANNELS), dtype=np.float32)
        soundfile.write(folder / f"{source}.wav", noise, SAMPLE_RATE_HZ, subtype=subtype)


if __name__ == "__main__":
    main()
