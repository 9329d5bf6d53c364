"""Data sets of random sound, small enough to be made for every test that wants one."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

from Input.prepared import MANIFEST, Manifest, Prepared, Track

import numpy as np
import pytest
import scripts
import soundfile
from data_sets import part_of
from scripts import Said, call

RATE_HZ = 8_000
MakePrepared = Callable[..., Prepared]

LONGEST = (
    "test_training_resume",
    "test_training_devices",
    "test_models_backends",
    "test_training_recipe",
    "test_scripts",
    "test_damage",
    "test_evaluate",
    "test_strangers",
)
"""Files that take minutes, the longest first."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begins with what takes longest, so that no worker is left with it when the others are done."""
    rank = {name: number for number, name in enumerate(LONGEST)}
    items.sort(key=lambda item: rank.get(item.path.stem, len(rank)))


@pytest.fixture
def make_prepared(tmp_path) -> MakePrepared:
    """Writes a prepared data set into a new folder.

    It is told the tracks' names, which end in the instruments of their parts, and their lengths in samples:
    `make_prepared({"a_vn_vn_vc": 5000, "b_fl_cl": 700})`. The parts are noise whose sum is never beyond full scale.
    """

    def make(
        tracks: dict[str, int], split: str = "train", channels: int = 1, sample_rate_hz: int = 8_000, name="prepared"
    ) -> Prepared:
        root = tmp_path / name
        random = np.random.default_rng(len(tracks))
        rows = []
        for track, samples in tracks.items():
            (root / track).mkdir(parents=True)
            parts = []
            for number, instrument in enumerate(track.split("_")[1:], 1):
                file = f"{track}/{number}_{instrument}.wav"
                pcm = random.integers(-6_000, 6_000, (samples, channels)).astype(np.int16)
                soundfile.write(root / file, pcm, sample_rate_hz, subtype="PCM_16")
                parts.append(part_of(root, file))
            rows.append(Track(name=track, split=split, group=track, samples=samples, parts=tuple(parts)))
        manifest = Manifest(sample_rate_hz=sample_rate_hz, channels=channels, tracks=tuple(rows))
        (root / MANIFEST).write_text(manifest.model_dump_json())
        return Prepared(root)

    return make


@pytest.fixture
def said(capsys) -> Callable[..., Said]:
    """Runs a script and keeps what it said."""

    def run(script: str, *arguments: object) -> Said:
        capsys.readouterr()
        code = call(script, *arguments)
        return Said(code, *capsys.readouterr())

    return run


@pytest.fixture(scope="module")
def quick() -> Iterator[None]:
    """Runs without pictures, which are drawn where they are what is tested."""
    with scripts.quick():
        yield


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Iterator[Path]:
    """A working folder with a small data set at 8 kHz: four rendered duets in `urmp`, and `prepared`."""
    folder = tmp_path_factory.mktemp("place")
    before = Path.cwd()
    os.chdir(folder)
    render = ("--pieces", 4, "--seconds", 6, "--sample-rate", RATE_HZ, "--lineups", "vn_vc,fl_cl", "--workers", 1)
    assert call("Prepare.py", "synthetic", "urmp", *render) == 0
    assert call("Prepare.py", "urmp", "urmp", "prepared", "--sample-rate", RATE_HZ, "--workers", 1) == 0
    yield folder
    os.chdir(before)
