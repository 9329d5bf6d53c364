"""How the weights are changed: optimizer and learning rate."""

from typing import Any

import keras
from keras import ops

from .options import Fit


def optimizer(
    fit: Fit, learning_rate: float | keras.optimizers.schedules.LearningRateSchedule | None = None
) -> keras.optimizers.Optimizer:
    """Adam or AdamW with a learning rate that changes with the steps.

    Args:
        fit: the options; with `plateau` the rate is a number, which the loop lowers.
        learning_rate: at the start, after the warm-up, in place of the options'; with `constant`, a schedule too.
    """
    start = learning_rate or fit.learning_rate
    rate = start
    if fit.decay == "exponential":
        rate = keras.optimizers.schedules.ExponentialDecay(start, fit.decay_steps, fit.decay_rate)
    if fit.decay == "cosine":
        rate = keras.optimizers.schedules.CosineDecay(start, fit.steps)
    if fit.warmup_steps:
        rate = Warmup(rate, fit.warmup_steps)
    settings = {
        "global_clipnorm": fit.clip_norm or None,
        "gradient_accumulation_steps": fit.accumulate if fit.accumulate > 1 else None,
        "use_ema": fit.ema > 0,
        "ema_momentum": fit.ema or 0.99,
    }
    if fit.optimizer == "adamw":
        return keras.optimizers.AdamW(rate, weight_decay=fit.weight_decay, **settings)
    return keras.optimizers.Adam(rate, **settings)


@keras.saving.register_keras_serializable(package="vimss")
class Warmup(keras.optimizers.schedules.LearningRateSchedule):
    """A schedule (or constant) that begins along a straight line: step n of N has (n + 1) / N of it."""

    def __init__(self, schedule: float | keras.optimizers.schedules.LearningRateSchedule, steps: int):
        self.schedule = keras.saving.deserialize_keras_object(schedule) if isinstance(schedule, dict) else schedule
        self.steps = steps

    def __call__(self, step: Any) -> Any:
        """The rate at a step."""
        full = self.schedule(step) if callable(self.schedule) else self.schedule
        return full * ops.minimum(1.0, (ops.cast(step, "float32") + 1) / self.steps)

    def get_config(self) -> dict[str, Any]:
        """What Keras needs to save it."""
        schedule = keras.saving.serialize_keras_object(self.schedule) if callable(self.schedule) else self.schedule
        return {"schedule": schedule, "steps": self.steps}
