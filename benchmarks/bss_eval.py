"""BSS Eval v4 beside museval's, on one thread: `python -m benchmarks.bss_eval [CASE ...]`.

Prints one JSON line a case: CPU seconds of both in the same process, their ratio, and the largest difference in dB.
Each case has a process of its own, which environment variables tell to use one thread before numpy is loaded. The case
`memory` scores 13 mono sources of 5 minutes in float32 and prints the peak resident memory of its process. Ends with 1
where a ratio is below its target, numbers differ by more than 1e-5 dB, or memory passes 4 GB.
"""

import importlib
import json
import os
import resource
import subprocess
import sys
import time
from importlib.util import find_spec
from types import ModuleType
from typing import NamedTuple

import Metrics

import numpy as np

HERE = "--here"
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
REPEATS = 3
LARGEST_DIFFERENCE_DB = 1e-5
LARGEST_MEMORY_GB = 4.0


class Case(NamedTuple):
    """What is scored, and how many times faster than museval that should be."""

    sources: int
    channels: int
    seconds: int
    sample_rate_hz: int
    smallest_ratio: float


CASES = {
    "mono": Case(4, 1, 60, 22_050, 12),
    "stereo": Case(4, 2, 60, 44_100, 20),
    "orchestra": Case(13, 1, 10, 44_100, 60),
}
MEMORY = Case(13, 1, 300, 44_100, 0)


def main() -> None:
    """Measures the cases that the command line names, or all."""
    names = sys.argv[1:] or ["memory", *CASES]
    command = [sys.executable, "-m", "benchmarks.bss_eval", HERE]
    sys.exit(any([subprocess.run([*command, name], env=os.environ | ONE_THREAD).returncode for name in names]))


def measure(name: str) -> None:
    """Measures a case in this process."""
    measured = memory() if name == "memory" else compared(CASES[name])
    missed = measured.pop("missed")
    print(json.dumps({"benchmark": "bss_eval", "case": name, **measured}), flush=True)
    sys.exit(missed)


def compared(case: Case) -> dict:
    """Ours, the fastest of a few runs, and museval's before and after."""
    references, estimates = signals(case)
    by_source = [np.ascontiguousarray(np.moveaxis(each, 1, 0)) for each in (references, estimates)]
    frame = case.sample_rate_hz
    museval = museval_metrics()
    ours_seconds: list[float] = []
    theirs_seconds: list[float] = []
    for _ in range(REPEATS):
        begin = time.process_time()
        ours = Metrics.bss_eval(references, estimates, case.sample_rate_hz, mask="strict")
        ours_seconds.append(time.process_time() - begin)
        if len(theirs_seconds) < 2:
            begin = time.process_time()
            theirs = museval.bss_eval(*by_source, frame, frame)
            theirs_seconds.append(time.process_time() - begin)
    ratio = min(theirs_seconds) / min(ours_seconds)
    difference_db = max(float(np.nanmax(np.abs(a - b))) for a, b in zip(ours[:4], theirs[:4], strict=True))
    return {
        **case._asdict(),
        "seconds_of_museval": round(min(theirs_seconds), 2),
        "seconds_of_ours": round(min(ours_seconds), 3),
        "ratio": round(ratio, 1),
        "largest_difference_db": float(f"{difference_db:.1e}"),
        "reciprocal_condition": float(f"{ours.reciprocal_condition.min():.1e}"),
        "missed": ratio < case.smallest_ratio or difference_db > LARGEST_DIFFERENCE_DB,
    }


def memory() -> dict:
    """Peak memory of this process, which so far did nothing else, with the signals in it."""
    references, estimates = signals(MEMORY)
    begin = time.process_time()
    Metrics.bss_eval(references, estimates, MEMORY.sample_rate_hz)
    seconds = time.process_time() - begin
    peak_gb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
    return {
        **MEMORY._asdict(),
        "seconds_of_ours": round(seconds, 1),
        "signals_gb": round((references.nbytes + estimates.nbytes) / 1e9, 2),
        "peak_gb": round(peak_gb, 2),
        "missed": peak_gb > LARGEST_MEMORY_GB,
    }


def signals(case: Case) -> tuple[np.ndarray, np.ndarray]:
    """References and estimates (T, S, C): decaying tones over faint noise, leaking into each other, in 16 bits."""
    random = np.random.default_rng(0)
    samples, second = case.seconds * case.sample_rate_hz, case.sample_rate_hz
    references = np.empty((samples, case.sources, case.channels), dtype=np.float32)
    time_seconds = np.arange(second) / second
    for source in range(case.sources):
        for start in range(0, samples, second):
            pitch_hz = 110 * 2 ** (random.integers(0, 24) / 12)
            phases = random.random(10)[:, np.newaxis] + np.outer(np.arange(1, 11), pitch_hz * time_seconds)
            tone = (np.sin(2 * np.pi * phases) / np.arange(1, 11)[:, np.newaxis]).sum(axis=0) * np.exp(
                -3 * time_seconds
            )
            gains = random.uniform(0.3, 1, case.channels)
            noise = 0.01 * random.standard_normal((second, case.channels))
            references[start : start + second, source] = 0.1 * (tone[:, np.newaxis] * gains + noise)
    estimates = np.empty_like(references)
    for start in range(0, samples, second):
        part = references[start : start + second]
        leak = 0.2 * (part.sum(axis=1, keepdims=True) - part)
        estimates[start : start + second] = 0.9 * part + leak + 0.003 * random.standard_normal(part.shape)
    for each in (references, estimates):
        each *= 32768
        np.round(each, out=each)
        each /= 32768
    return references, estimates


def museval_metrics() -> ModuleType:
    """Museval's metrics without its package, which wants ffmpeg on the machine."""
    installed = find_spec("museval")
    if installed is None or installed.submodule_search_locations is None:
        raise SystemExit("benchmarks.bss_eval: museval is missing; install it with  pip install museval")
    package = ModuleType("museval")
    package.__path__ = list(installed.submodule_search_locations)
    sys.modules["museval"] = package
    return importlib.import_module("museval.metrics")


if __name__ == "__main__":
    measure(sys.argv[2]) if sys.argv[1:2] == [HERE] else main()
