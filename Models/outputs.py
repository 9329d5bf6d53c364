"""What a network emits -> sources: the last stage of every separator."""

import keras
from keras import ops

from .conditioning import Conditioner, Positions, at_moments, require

OUTPUTS = ("direct", "difference", "consistent")


def emitted_sources(output: str, sources: int) -> int:
    """How many sources a network emits itself.

    Raises:
        ValueError: if the output is unknown, or `difference` is asked of a single source.
    """
    require("output", [output], OUTPUTS)
    if output == "difference" and sources < 2:
        raise ValueError("output 'difference' needs at least two sources. Received: sources=1")
    return sources - 1 if output == "difference" else sources


def completed(estimates, heard, output: str, conditioner: Conditioner, positions: Positions):
    """What a network emits (B, T, E, C) beside the mixture that it heard (B, T, C) -> sources (B, T, S, C), float32."""
    stage = Completion(output, positions, dtype="float32", name="completion")
    return stage(estimates, heard, conditioner.context) if conditioner.at("output") else stage(estimates, heard)


@keras.saving.register_keras_serializable("vimss")
class Completion(keras.layers.Layer):
    """What a network emits (B, T, E, C), the mixture heard (B, T, C) and labels that gate -> sources (B, T, S, C).

    - `direct`: as they are.
    - `difference`: the last source is the mixture minus the sum of the others.
    - `consistent`: what the sources leave of the mixture goes in equal shares to all of them (mixture consistency;
      Wisdom et al. 2019, section 3.2).

    Where labels gate, each source is multiplied by its own, so that an absent one is silent exactly, and the mixture's
    rest goes to those that they name.

    Args:
        output: one of `OUTPUTS`.
        positions: where the sources stand in the mixture.
    """

    def __init__(self, output: str, positions: Positions, **kwargs):
        super().__init__(**kwargs)
        self.output_kind, self.positions = output, Positions(*positions)

    def call(self, estimates, heard, labels=None):
        if self.output_kind == "difference":
            estimates = ops.concatenate([estimates, _rest(heard, estimates)], axis=2)
        present = ops.ones((1, 1, estimates.shape[2]))
        if labels is not None:
            present = at_moments(labels, ops.shape(estimates)[1], self.positions)
            estimates = estimates * present[..., None]
        if self.output_kind == "consistent":
            shares = present / ops.maximum(ops.sum(present, axis=-1, keepdims=True), 1)
            estimates = estimates + _rest(heard, estimates) * shares[..., None]
        return estimates

    def compute_output_shape(self, estimates_shape, heard_shape, labels_shape=None):
        batch, samples, emitted, channels = estimates_shape
        return batch, samples, emitted + (self.output_kind == "difference"), channels

    def get_config(self):
        return {**super().get_config(), "output": self.output_kind, "positions": list(self.positions)}


def _rest(heard, estimates):
    """What the estimates leave of the mixture: (B, T, 1, C)."""
    return heard[:, :, None] - ops.sum(estimates, axis=2, keepdims=True)
