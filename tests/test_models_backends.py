"""The same models and their training in a fresh process, on JAX."""

import importlib.util
import itertools
import os
import subprocess
import sys
from pathlib import Path

from Models import networks
from Models.conditioning import METHODS

import keras
import numpy as np
import pytest
from models_oracle import excerpts, outputs, randomise

ROOT = Path(__file__).resolve().parent.parent
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not importlib.util.find_spec("jax") or keras.backend.backend() == "jax",
        reason="jax is not installed, or runs this",
    ),
]
SEPARATE = """
import sys
from pathlib import Path

import keras
import numpy as np

import Models.checkpoints  # all that a script imports before it loads a checkpoint

assert keras.backend.backend() == "jax" and "tensorflow" not in sys.modules
folder = Path(sys.argv[1])
for path in folder.glob("*.keras"):
    model = keras.saving.load_model(path, compile=False)
    inputs = dict(np.load(path.with_suffix(".npz")))
    np.save(path.with_suffix(".npy"), model.predict_on_batch({name: inputs[name] for name in model.input}))
"""
SIZES = {"levels": 2, "filters": 4, "down_size": 5, "up_size": 3, "resampling_size": 7}
EVERYWHERE = {"places": ["every", "input", "output"]}
WAVE_UNETS = [
    {"levels": 3},
    {"channels": 2, "output": "consistent"},
    {"resampling": "learned", "padding": "same", "normalisation": "group", "separate": True},
    {"resampling": "lowpass", "stride": 3, "depth": 2, "residual": True, "activation": "linear"},
    {"resampling": "strided", "stride": 4, "normalisation": "group", "growth": "double"},
    {"resampling": "strided", "stride": 3, "padding": "same", "output": "direct"},
]
SPECTRAL = {"frame_samples": 32, "hop_samples": 24, "conditioning": "film", "places": ["every", "input", "output"]}
CHECKPOINTS = {
    **{  # each choice beside some method of conditioning, by labels that hold or that move
        f"wave_unet {number}": {
            **{"network": "wave_unet", "conditioning": method, "frames": 5 if number % 2 else None},
            **{**SIZES, **EVERYWHERE, **choices},
        }
        for number, (choices, method) in enumerate(zip(itertools.cycle(WAVE_UNETS), METHODS, strict=False))
    },
    "unet_spectrogram": {"network": "unet_spectrogram", "levels": 2, "filters": 2, **SPECTRAL},
    "band_split": {"network": "band_split", "features": 4, "depth": 1, "zones": 2, "bands": 2, **SPECTRAL},
    "lstm_unet": {"network": "lstm_unet", "levels": 2, "filters": 3, "conditioning": "film", **EVERYWHERE},
}
PORTABLE = {  # what a checkpoint does not show: training, streams; JAX compiles each shape anew, so all take long
    "earlier_versions": "earlier",
    "models_losses": "by_hand or (finite_at_perfect and (log_energy or si_sdr))",
    "models_separation": "whole_track and 121",
    "models_wave_unet": "compiled",
    "learning_finder": "plain_descent",
    "learning_recipe": "by_hand",
    "learning_loop": "averages or plateau or every_number",
}


def on_jax(*arguments: str | Path) -> None:
    """Runs Python on JAX, on the CPU and in the repository."""
    environment = os.environ | {
        "KERAS_BACKEND": "jax",
        "JAX_PLATFORMS": "cpu",
        "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",  # compiling would take most of the time
        "PYTHONPATH": str(ROOT),
    }
    run = subprocess.run(
        [sys.executable, *map(str, arguments)], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stdout[-4000:] + run.stderr[-4000:]


def test_one_checkpoint_gives_the_same_sources_in_a_fresh_process_on_jax(tmp_path):
    labels, expected = np.array([[1, 0, 1], [0, 0.5, 1]], np.float32), {}
    for name, choices in CHECKPOINTS.items():
        choices = {**choices}
        channels, frames = choices.pop("channels", 1), choices.pop("frames", None)
        model = randomise(networks.built(3, channels, **choices, shapes={"labels": (frames, 3)} if frames else None))
        lengths = networks.lengths(30, **choices)
        mixture = excerpts(lengths.input_samples(lengths.output_samples(30)), batch=2, channels=channels)
        moving = excerpts(frames, batch=2, channels=3) if frames else labels
        inputs = [mixture, moving] if "labels" in model.input else [mixture]
        expected[name] = outputs(model, *inputs)
        model.save(tmp_path / f"{name}.keras")
        np.savez(tmp_path / f"{name}.npz", **dict(zip(("mixture", "labels"), inputs, strict=False)))
    on_jax("-c", SEPARATE, tmp_path)
    for name, sources in expected.items():
        difference = np.abs(np.load(tmp_path / f"{name}.npy") - sources).max()
        assert difference <= 1e-4 * np.abs(sources).max(), name
        assert sources.std(axis=(0, 1)).min() > 1e-3, name  # and it is not silence that agrees


def test_the_tests_of_models_and_of_their_training_pass_on_it():
    files = [ROOT / f"tests/test_{name}.py" for name in PORTABLE]
    chosen = " or ".join(f"(test_{name} and ({tests}))" for name, tests in PORTABLE.items())
    on_jax("-m", "pytest", "-q", "-p", "no:cacheprovider", *files, "-k", chosen)
