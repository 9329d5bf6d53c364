"""`data/earlier.keras` is older than `layers.DownConv1D`, `data/earlier.npz` an input and what it gave then."""

from pathlib import Path

from Models import earlier
from Models.separation import load_separator

import keras
import numpy as np
from models_oracle import outputs, reloaded

DATA = Path(__file__).parent / "data"


def test_a_checkpoint_of_an_earlier_version_loads_and_gives_its_sources(tmp_path):
    with np.load(DATA / "earlier.npz") as arrays:
        mixture, labels, sources = arrays["mixture"], arrays["labels"], arrays["sources"]
    separator = load_separator(DATA / "earlier.keras")
    assert {earlier.HeardConv1D, earlier.Centre, earlier.EverySecond} <= {type(layer) for layer in separator.layers}
    np.testing.assert_allclose(outputs(separator, mixture, labels), sources, atol=1e-6)
    assert sources.std(axis=(0, 1)).min() > 0.01
    again = reloaded(keras.models.clone_model(separator), tmp_path)
    again.set_weights(separator.get_weights())
    np.testing.assert_allclose(outputs(again, mixture, labels), sources, atol=1e-6)
