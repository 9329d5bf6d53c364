"""What `fit` trains: a model that computes the losses of examples, and minimises their mean."""

from collections.abc import Mapping
from typing import Any

import keras
from keras import ops


class Trained(keras.Model):
    """A functional model {name: array (B, ...)} -> losses (B,), float32, whose mean over the batch `fit` minimises.

    It is fed batches that are plain dicts: there are no targets beside them, because the losses need none.
    """

    def compute_loss(
        self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None, training: bool = True
    ) -> Any:
        """Called by Keras with the losses as `y_pred`."""
        return ops.mean(y_pred)


def trained(
    network: keras.Model,
    inputs: Mapping[str, keras.KerasTensor],
    example: Mapping[str, keras.KerasTensor],
    objective: keras.layers.Layer,
    optimizer: keras.optimizers.Optimizer,
    **compiled: Any,
) -> Trained:
    """The one way from a batch to the loss, wherever examples are made.

    Args:
        network: a functional model {name: array} -> {name: array}, or one array, which is then called `sources`.
        inputs: what batches hold.
        example: what an example is, computed from the inputs; the inputs themselves if the host makes it.
        objective: a layer (example, outputs) -> losses (B,).
        optimizer: built for the network's trainable variables.
        compiled: what else `keras.Model.compile` may be given.
    """
    outputs = network({name: example[name] for name in network.input})
    model = Trained(
        dict(inputs), objective(dict(example), outputs if isinstance(outputs, dict) else {"sources": outputs})
    )
    model.compile(optimizer, **compiled)
    return model
