"""Peak memory of Separate.py on 1 minute beside 60: `python -m benchmarks.separation_memory runs/demo vn,vc`.

Prints one JSON line; the audio is noise at the run's rate. Ends with 1 where an hour needs 200 MiB more than a minute.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import Runs

import numpy as np
import soundfile

BLOCK_SAMPLES = 1 << 20
LARGEST_DIFFERENCE_MIB = 200


def main(run: str, labels: str) -> None:
    """Separates both files, each in a process of its own, and prints what they needed."""
    rate_hz = Runs.stored_config(run)["data"]["sample_rate_hz"]
    with tempfile.TemporaryDirectory() as folder:
        minute_mib, hour_mib = (peak_mib(run, labels, minutes, rate_hz, Path(folder)) for minutes in (1, 60))
    measured = {
        "benchmark": "separation_memory",
        "run": run,
        "sample_rate_hz": rate_hz,
        "peak_mib_of_1_minute": round(minute_mib),
        "peak_mib_of_60_minutes": round(hour_mib),
        "difference_mib": round(hour_mib - minute_mib),
    }
    print(json.dumps(measured))
    sys.exit(hour_mib - minute_mib > LARGEST_DIFFERENCE_MIB)


def peak_mib(run: str, labels: str, minutes: int, rate_hz: int, folder: Path) -> float:
    """The largest resident memory of a process that separates so many minutes, in MiB."""
    path = folder / f"noise_{minutes}.wav"
    random, left = np.random.default_rng(0), minutes * 60 * rate_hz
    with soundfile.SoundFile(path, "w", rate_hz, 1, "PCM_16") as file:
        while left > 0:
            file.write(0.1 * random.standard_normal(min(left, BLOCK_SAMPLES)))
            left -= BLOCK_SAMPLES
    arguments = [str(path), "--run", run, "--labels", labels, "--out", str(folder / "out")]
    process = subprocess.Popen([sys.executable, "Separate.py", *arguments], stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"Separate.py failed on {minutes} minutes")
    return usage.ru_maxrss / 1024


if __name__ == "__main__":
    main(*sys.argv[1:])
