"""How the weights are changed: optimizer and learning rate."""

from typing import Any

import keras
from keras import ops


def optimizer(
    learning_rate: float | keras.optimizers.schedules.LearningRateSchedule,
    *,
    steps: int,
    optimizer: str = "adam",
    weight_decay: float = 0.0,
    decay: str = "constant",
    decay_rate: float = 0.96,
    decay_steps: int = 2_000,
    warmup_steps: int = 0,
    clip_norm: float = 0.0,
    accumulate: int = 1,
    ema: float = 0.0,
) -> keras.optimizers.Optimizer:
    """Adam or AdamW with a learning rate that changes with the steps.

    Args:
        learning_rate: at the start, after the warm-up; with `constant`, a schedule too.
        steps: of the whole training; where `cosine` ends at zero.
        optimizer: `adam`, or `adamw` (Loshchilov and Hutter 2019) with `weight_decay`.
        weight_decay: share of each weight that a step takes off, times the learning rate; AdamW's.
        decay: `constant`; `exponential`, times `decay_rate` every `decay_steps`, smoothly; `cosine`, to zero;
            `plateau`, a number that the loop lowers.
        decay_rate: of `exponential`.
        decay_steps: of `exponential`.
        warmup_steps: in which the rate rises from zero along a straight line.
        clip_norm: longest gradient of all weights together; 0 for no limit.
        accumulate: batches whose gradients are averaged for one change of the weights.
        ema: momentum of the moving average of the weights, which is what is validated and kept; 0 for none.
    """
    rate = learning_rate
    if decay == "exponential":
        rate = keras.optimizers.schedules.ExponentialDecay(learning_rate, decay_steps, decay_rate)
    if decay == "cosine":
        rate = keras.optimizers.schedules.CosineDecay(learning_rate, steps)
    if warmup_steps:
        rate = Warmup(rate, warmup_steps)
    settings = {
        "global_clipnorm": clip_norm or None,
        "gradient_accumulation_steps": accumulate if accumulate > 1 else None,
        "use_ema": ema > 0,
        "ema_momentum": ema or 0.99,
    }
    if optimizer == "adamw":
        return keras.optimizers.AdamW(rate, weight_decay=weight_decay, **settings)
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
