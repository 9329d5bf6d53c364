"""What training minimises: functions of sources and estimates (B, T, S, C), each one number per example (B,).

All are computed in float32. Keras takes the mean over the batch.
"""

import keras
from keras import ops

SILENT_ENERGY = 1e-6  # of an excerpt; below half a least significant bit of 16 over a second
FLOOR = 1e-3  # log_energy stops counting below -30 dB


def mse(sources, estimates):
    """The mean squared error. Source: Stoller et al. 2018, section 4.2."""
    return ops.mean(ops.square(sources - estimates), axis=(1, 2, 3))


def l1(sources, estimates):
    """The mean absolute error. Source: Defossez et al. 2019, section 4.3."""
    return ops.mean(ops.abs(sources - estimates), axis=(1, 2, 3))


def sum_squared(sources, estimates):
    """The squared error summed over samples, sources and channels, as VIMSS trained."""
    return ops.sum(ops.square(sources - estimates), axis=(1, 2, 3))


def log_energy(sources, estimates):
    """The error of each source in dB under its own energy, no better than -30 dB, mean over the sources.

    Soft parts count as much as loud ones. A source that is silent in the excerpt has no energy of its own: its error is
    measured under that of the mixture. Source: Wisdom et al. 2021 (FUSS), equations 3 and 4.
    """
    energy = ops.sum(ops.square(sources), axis=(1, 3))
    mixture_energy = ops.sum(ops.square(ops.sum(sources, axis=2)), axis=(1, 2))
    scale = ops.where(energy < SILENT_ENERGY, mixture_energy[:, None], energy) + SILENT_ENERGY
    error = ops.sum(ops.square(sources - estimates), axis=(1, 3))
    return ops.mean(10 * ops.log10(error / scale + FLOOR), axis=1)


LOSSES = {loss.__name__: loss for loss in (mse, l1, sum_squared, log_energy)}


@keras.saving.register_keras_serializable("vimss")
class _Loss(keras.losses.Loss):
    """A loss by its name, which is all that a saved model keeps of it."""

    def call(self, sources, estimates):
        return LOSSES[self.name](sources, estimates)


def loss(name: str) -> keras.losses.Loss:
    """The loss of a name, ready for `compile`.

    Raises:
        ValueError: if there is no such loss; the known ones are named.
    """
    if name not in LOSSES:
        raise ValueError(f"expected a loss among {', '.join(LOSSES)}. Received: {name}")
    return _Loss(name)
