"""What `fit` minimises: named losses of named outputs, on batches that are plain dicts."""

from Learning.objective import trained
from Models.checkpoints import emitting, load_network
from Models.lengths import Padded
from Models.losses import Objective
from Models.separation import separate

import keras
import numpy as np
import pytest

SAMPLES, SOURCES = 64, 3


def network() -> keras.Model:
    """A separator that also says which of the sources are there."""
    keras.utils.set_random_seed(0)
    mixture = keras.Input((SAMPLES, 1), name="mixture")
    features = keras.layers.Conv1D(8, 9, padding="same", activation="tanh")(mixture)
    sources = keras.layers.Reshape((SAMPLES, SOURCES, 1))(keras.layers.Conv1D(SOURCES, 9, padding="same")(features))
    present = keras.layers.Dense(SOURCES, activation="sigmoid")(keras.layers.GlobalMaxPooling1D()(features))
    return keras.Model({"mixture": mixture}, {"sources": sources, "present": present})


def batch(count: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Tones of three pitches, of which some sound."""
    random = np.random.default_rng(seed)
    present = (random.random((count, SOURCES)) < 0.6).astype(np.float32)
    tones = np.sin(np.outer(np.arange(SAMPLES), [0.3, 0.9, 2.0])).astype(np.float32)
    sources = (tones * present[:, None])[..., None]
    weight = np.where(np.arange(count) < count - 2, 1, 0).astype(np.float32)
    return {"mixture": sources.sum(axis=2), "sources": sources, "present": present, "weight": weight}


def test_named_losses_of_named_outputs_are_minimised_together(tmp_path):
    model, one = network(), batch(8)
    inputs = {name: keras.Input(array.shape[1:], name=name) for name, array in one.items()}
    optimizer = keras.optimizers.Adam(0.02)
    optimizer.build(model.trainable_variables)
    fitted = trained(model, inputs, inputs, Objective("l1(sources)+0.5*bce(present)"), optimizer, jit_compile=False)

    outputs = {name: keras.ops.convert_to_numpy(array) for name, array in model({"mixture": one["mixture"]}).items()}
    distance = np.abs(outputs["sources"] - one["sources"]).mean(axis=(1, 2, 3))
    guessed, true = outputs["present"], one["present"]
    entropy = -(true * np.log(guessed) + (1 - true) * np.log(1 - guessed)).mean(axis=1)
    expected = np.mean((distance + 0.5 * entropy) * one["weight"])
    assert fitted.evaluate(one, batch_size=8, verbose=0) == pytest.approx(expected, rel=1e-5)

    fitted.fit(batch(64, seed=1), epochs=30, batch_size=8, verbose=0)
    after = {name: keras.ops.convert_to_numpy(array) for name, array in model({"mixture": one["mixture"]}).items()}
    assert np.abs(after["sources"] - one["sources"]).mean() < 0.5 * distance.mean()
    assert ((after["present"] > 0.5) == (true > 0.5)).mean() > 0.8

    model.save(tmp_path / "two.keras")
    lengths = Padded(SAMPLES)
    separator = emitting(load_network(tmp_path / "two.keras"), "sources")
    stems = np.concatenate(list(separate(separator, lengths, [one["mixture"][0]])))
    assert stems.shape == (SAMPLES, SOURCES, 1)
    np.testing.assert_allclose(stems[:48], after["sources"][0][:48], atol=1e-5)
