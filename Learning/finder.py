"""A range test: the loss while the learning rate rises from far too low to far too high shows a good one."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np

LOWEST, HIGHEST = 1e-6, 1.0
SMOOTHING = 0.9  # share of the mean so far that a new loss leaves


@keras.saving.register_keras_serializable(package="vimss")
class Rising(keras.optimizers.schedules.LearningRateSchedule):
    """A learning rate that rises evenly on a logarithmic axis from `LOWEST` to `HIGHEST`.

    Source: Smith 2017 (Cyclical Learning Rates for Training Neural Networks), section 3.3; there along a straight line.

    Args:
        steps: in which it rises; at least 2.
    """

    def __init__(self, steps: int):
        self.steps = steps

    def __call__(self, step: Any) -> Any:
        """The rate at a step."""
        share = keras.ops.cast(step, "float32") / (self.steps - 1)
        return LOWEST * keras.ops.power(HIGHEST / LOWEST, share)

    def get_config(self) -> dict[str, int]:
        """What Keras keeps of it."""
        return {"steps": self.steps}


def range_test(model: keras.Model, batches: Any, steps: int, progress: Callable[[int], None]) -> np.ndarray:
    """The loss of each batch while a compiled model is trained on them; NaN from where it is no number.

    Args:
        model: its optimizer has the rate `Rising`.
        batches: endless.
        steps: how many to take.
        progress: called with how many are done.
    """
    found = np.full(steps, np.nan)

    class Keep(keras.callbacks.Callback):
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            """Keeps the step's loss; ends the training where it is no number."""
            found[epoch] = logs["loss"]
            progress(epoch + 1)
            self.model.stop_training = not np.isfinite(found[epoch])

    model.fit(batches, steps_per_epoch=1, epochs=steps, callbacks=[Keep()], shuffle=False, verbose=0)
    return np.where(np.isfinite(found), found, np.nan)


def suggestion(losses: np.ndarray) -> tuple[float, np.ndarray]:
    """A good learning rate: a tenth of the one where the smoothed loss is least.

    Args:
        losses: (N,) at rates that rise from `LOWEST` to `HIGHEST`; NaN where it is no number.

    Returns:
        The rate, and the smoothed losses (N,): their running mean, which forgets a tenth at each step.

    Raises:
        ValueError: if not even the first loss is a number.
    """
    if not np.isfinite(losses[0]):
        raise ValueError("the loss was no number before the learning rate rose: look at the data")
    weights = SMOOTHING ** np.arange(len(losses))
    sums = [np.sum(weights[: n + 1][::-1] * losses[: n + 1]) / np.sum(weights[: n + 1]) for n in range(len(losses))]
    smoothed = np.array(sums)
    rates = np.geomspace(LOWEST, HIGHEST, len(losses))
    return float(rates[np.nanargmin(smoothed)] / 10), smoothed
