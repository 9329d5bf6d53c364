"""What earlier versions wrote still works.

`data/earlier.keras` is older than `layers.DownConv1D`, `data/earlier.npz` an input and what it gave then;
`data/earlier_run` is older than contexts by name.
"""

from pathlib import Path

from Actions.run import Run
from Models import earlier
from Models.checkpoints import load_network

import keras
import numpy as np
from models_oracle import outputs, reloaded

DATA = Path(__file__).parent / "data"


def test_a_checkpoint_of_an_earlier_version_loads_and_gives_its_sources(tmp_path):
    with np.load(DATA / "earlier.npz") as arrays:
        mixture, labels, sources = arrays["mixture"], arrays["labels"], arrays["sources"]
    separator = load_network(DATA / "earlier.keras")
    assert {earlier.HeardConv1D, earlier.Centre, earlier.EverySecond} <= {type(layer) for layer in separator.layers}
    np.testing.assert_allclose(outputs(separator, mixture, labels), sources, atol=1e-6)
    assert sources.std(axis=(0, 1)).min() > 0.01
    again = reloaded(keras.models.clone_model(separator), tmp_path)
    again.set_weights(separator.get_weights())
    np.testing.assert_allclose(outputs(again, mixture, labels), sources, atol=1e-6)


def test_a_run_of_an_earlier_version_separates_as_it_did():
    """Its configuration knows neither contexts by name nor parts, and its checkpoint says the same."""
    run = Run(DATA / "earlier_run")
    assert run.config.model.contexts["labels"].places == ("every", "output") and run.config.data.targets == "classes"
    with np.load(DATA / "earlier_run/stems.npz") as arrays:
        stems = run.separate(arrays["mixture"], 11_025, labels=["vn", "cl"])
        assert stems.keys() == {"vn", "cl"}
        for name, stem in stems.items():
            np.testing.assert_allclose(stem, arrays[name], atol=1e-5)
            assert np.abs(stem).max() > 0.1
