"""museval 0.4.1 without its package, and signals to give it."""

import importlib
import sys
from contextlib import contextmanager
from importlib.util import find_spec
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

RATE = 4000


@contextmanager
def museval_modules():
    """museval's modules without its __init__, which wants ffmpeg on the machine."""
    installed = find_spec("museval")
    assert installed and installed.submodule_search_locations
    package = ModuleType("museval")
    package.__path__ = list(installed.submodule_search_locations)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "museval", package)
        # It looks for LinAlgError where numpy no longer keeps it.
        patch.setattr(np.linalg, "linalg", np.linalg, raising=False)
        modules = {name: importlib.import_module(f"museval.{name}") for name in ("metrics", "aggregate")}
        yield SimpleNamespace(**modules)


def noise(seed, seconds, sources, channels, rate=RATE):
    rng = np.random.default_rng(seed)
    levels = rng.uniform(0.05, 0.3, (sources, 1))
    references = levels * rng.standard_normal((round(seconds * rate), sources, channels))
    return references, guess(rng, references)


def notes(seed, seconds, sources, channels, rate=RATE):
    """Melodies of decaying harmonic tones with rests, quantised like a 16-bit file."""
    rng = np.random.default_rng(seed)
    length = rate // 4
    time = np.arange(length) / rate
    references = np.zeros((round(seconds * rate), sources, channels))
    for source in range(sources):
        for start in range(0, len(references) - length, length):
            if start == 0 or rng.random() < 0.8:
                pitch = 110 * 2 ** (rng.integers(0, 24) / 12)
                tone = sum(np.sin(2 * np.pi * pitch * k * time + rng.random() * 6) / k for k in range(1, 6))
                tone = tone * np.exp(-5 * time) + 0.01 * rng.standard_normal(length)
                references[start : start + length, source] = 0.1 * tone[:, None] * rng.uniform(0.3, 1, channels)
    return np.round(references * 32768) / 32768, np.round(guess(rng, references) * 32768) / 32768


def guess(rng, references):
    """What a separator might give: the source, some of the others, some noise."""
    mixture = references.sum(axis=1, keepdims=True)
    return 0.9 * references + 0.2 * (mixture - references) + 0.01 * rng.standard_normal(references.shape)
