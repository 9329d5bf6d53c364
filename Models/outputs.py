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
    stage = Completion(output, conditioner.at("output"), positions, dtype="float32", name="completion")
    return stage(estimates, heard) if conditioner.context is None else stage(estimates, heard, conditioner.context)


@keras.saving.register_keras_serializable("vimss")
class Completion(keras.layers.Layer):
    """What a network emits (B, T, E, C), the mixture heard (B, T, C) and the labels if any -> sources (B, T, S, C).

    - `direct`: as they are.
    - `difference`: the last source is the mixture minus the sum of the others.
    - `consistent`: what the sources leave of the mixture goes in equal shares to all of them, or to those that the
      labels name (mixture consistency; Wisdom et al. 2019, section 3.2).

    Where `gated`, each source is multiplied by its label, so that an absent one is silent exactly.

    Args:
        output: one of `OUTPUTS`.
        gated: whether the labels gate.
        positions: where the sources stand in the mixture.
    """

    def __init__(self, output: str, gated: bool, positions: Positions, **kwargs):
        super().__init__(**kwargs)
        self.output_kind, self.gated, self.positions = output, gated, Positions(*positions)

    def call(self, estimates, heard, labels=None):
        if self.output_kind == "difference":
            estimates = ops.concatenate([estimates, _rest(heard, estimates)], axis=2)
        present = ops.ones((1, 1, estimates.shape[2]))
        if labels is not None:
            present = at_moments(labels, ops.shape(estimates)[1], self.positions)
        if self.gated:
            estimates = estimates * present[..., None]
        if self.output_kind == "consistent":
            shares = present / ops.maximum(ops.sum(present, axis=-1, keepdims=True), 1)
            estimates = estimates + _rest(heard, estimates) * shares[..., None]
        return estimates

    def compute_output_shape(self, estimates_shape, heard_shape, labels_shape=None):
        batch, samples, emitted, channels = estimates_shape
        return batch, samples, emitted + (self.output_kind == "difference"), channels

    def get_config(self):
        mine = {"output": self.output_kind, "gated": self.gated, "positions": list(self.positions)}
        return {**super().get_config(), **mine}


def _rest(heard, estimates):
    """What the estimates leave of the mixture: (B, T, 1, C)."""
    return heard[:, :, None] - ops.sum(estimates, axis=2, keepdims=True)
