"""The same models in fresh processes, and on JAX."""

import importlib.util
import itertools
import os
import subprocess
import sys
from pathlib import Path

from Models.lengths import Ladder
from Models.wave_unet import wave_unet

import keras
import numpy as np
import pytest
from models_oracle import excerpts, outputs, randomise

ROOT = Path(__file__).resolve().parent.parent
BACKENDS = [
    "tensorflow",
    pytest.param("jax", marks=pytest.mark.skipif(not importlib.util.find_spec("jax"), reason="jax is not installed")),
]
SEPARATE = """
import sys
from pathlib import Path

import keras
import numpy as np

from Models.separation import separate  # all that a script imports before it loads a checkpoint
from Models.lengths import Ladder

folder = Path(sys.argv[1])
for path in folder.glob("*.keras"):
    model = keras.saving.load_model(path, compile=False)
    inputs = dict(np.load(path.with_suffix(".npz")))
    np.save(path.with_suffix(".npy"), model.predict_on_batch({name: inputs[name] for name in model.input}))
"""
CHECKPOINTS = {
    "plain": {},
    "labels": {"output": "direct", "conditioning": "film"},
    "everywhere": {"output": "consistent", "conditioning": "film", "places": ["every", "output"]},
    "stereo": {"channels": 2, "conditioning": "film", "places": ["every"]},
}
PORTABLE = {  # of each file the tests that only a backend can break; JAX compiles each shape anew, so all take long
    "layers": ["contract", "interpolate_is"],
    "conditioning": ["contract", "static_context", "one_frame_a_sample"],
    "losses": ["by_hand", "float32", "gradients_are_finite"],
    "separation": ["whole_track"],
    "wave_unet": ["compiled", "half_precision and consistent"],
}


def python(backend: str, *arguments: str | Path) -> None:
    """Runs Python on a backend, on the CPU and in the repository."""
    environment = os.environ | {"KERAS_BACKEND": backend, "JAX_PLATFORMS": "cpu", "PYTHONPATH": str(ROOT)}
    run = subprocess.run(
        [sys.executable, *map(str, arguments)], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stdout[-4000:] + run.stderr[-4000:]


@pytest.mark.parametrize("backend", BACKENDS)
def test_one_checkpoint_gives_the_same_sources_in_a_fresh_process_on_either_backend(backend, tmp_path):
    ladder, expected = Ladder(3, 5, 3), {}
    length = ladder.input_samples(ladder.output_samples(200))
    labels = np.array([[1, 0, 1], [0, 1, 1]], np.float32)
    for name, choices in CHECKPOINTS.items():
        model = randomise(wave_unet(3, levels=3, filters=4, down_size=5, up_size=3, **choices))
        mixture = excerpts(length, batch=2, channels=choices.get("channels", 1))
        inputs = [mixture, labels] if "labels" in model.input else [mixture]
        expected[name] = outputs(model, *inputs)
        model.save(tmp_path / f"{name}.keras")
        np.savez(tmp_path / f"{name}.npz", **dict(zip(("mixture", "labels"), inputs, strict=False)))
    python(backend, "-c", SEPARATE, tmp_path)
    for name, sources in expected.items():
        difference = np.abs(np.load(tmp_path / f"{name}.npy") - sources).max()
        assert difference <= 1e-4 * np.abs(sources).max(), name


@pytest.mark.parametrize("backend", BACKENDS[1:])
def test_the_tests_of_models_pass_on_it(backend):
    if keras.backend.backend() == backend:
        pytest.skip("this is it")
    files = [ROOT / f"tests/test_models_{name}.py" for name in PORTABLE]
    chosen = " or ".join(itertools.chain(*PORTABLE.values()))
    python(backend, "-m", "pytest", "-q", "-p", "no:cacheprovider", *files, "-k", chosen)
