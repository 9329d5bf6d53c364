"""What may be set of a training: how the weights are changed, and what happens between two steps."""

from typing import Literal, Self

from Options import Options

from pydantic import Field, model_validator


class Fit(Options):
    """How the weights are fitted."""

    steps: int = Field(200_000, ge=1)
    """Batches to train on; a run may stop sooner by `patience`."""
    batch_size: int = Field(16, ge=1)
    """Examples in a batch."""
    learning_rate: float = Field(1e-4, gt=0)
    """Adam's step size at the start, after the warm-up."""
    optimizer: Literal["adam", "adamw"] = "adam"
    """Adam, or AdamW (Loshchilov and Hutter 2019), which takes `weight_decay` off the weights."""
    weight_decay: float = Field(0.0, ge=0, lt=1)
    """Share of each weight that a step of AdamW takes off, times the step size."""
    decay: Literal["constant", "exponential", "cosine", "plateau"] = "constant"
    """How the step size falls: smoothly by `decay_rate` every `decay_steps`, along a cosine to zero at the last step,
    or by `plateau_factor` when `plateau_patience` validations were no better."""
    decay_rate: float = Field(0.96, gt=0, le=1)
    """Factor of the exponential decay."""
    decay_steps: int = Field(2_000, ge=1)
    """Steps in which the exponential decay reaches its factor once."""
    plateau_patience: int = Field(5, ge=1)
    """Validations without a better loss before the step size falls, with decay=plateau."""
    plateau_factor: float = Field(0.5, gt=0, lt=1)
    """What the step size is multiplied by then."""
    warmup_steps: int = Field(0, ge=0)
    """Steps in which the step size rises from zero along a straight line."""
    clip_norm: float = Field(0.0, ge=0)
    """Longest gradient of all weights together; 0 for no limit."""
    accumulate: int = Field(1, ge=1)
    """Batches whose gradients are averaged for one change of the weights."""
    ema: float = Field(0.0, ge=0, lt=1)
    """Momentum of the weights' moving average, such as 0.999, which is validated and kept for them; 0 for none."""
    validate_every: int = Field(2_000, ge=1)
    """Steps between two validations, each followed by a checkpoint; divides `steps`."""
    checkpoint_every: int = Field(0, ge=0)
    """Steps that are lost at most when the process is killed; 0 for those between two validations. Divides
    `validate_every`, or is a multiple of it."""
    patience: int = Field(20, ge=0)
    """Validations without a better loss before training stops; 0 never stops early."""
    second_round: bool = False
    """Whether training goes on after the early stop: from the best weights, the batch doubled, a tenth of the rate,
    which falls from there as it did before."""
    precision: Literal["float32", "mixed_bfloat16"] = "float32"
    """`mixed_bfloat16` computes in bfloat16 and keeps weights and loss in float32: for accelerators."""
    xla: bool = True
    """Compile the training step with XLA: faster after a minute of compiling."""
    steps_per_execution: int = Field(1, ge=1)
    """Steps that the accelerator takes before Python is asked again; divides those two."""
    processes: int = Field(1, ge=1)
    """Processes that train together on JAX, each with its accelerators (`docs/scale.md`)."""

    @property
    def piece(self) -> int:
        """Steps between two checkpoints, of which one follows each validation."""
        return min(self.checkpoint_every or self.validate_every, self.validate_every)

    @model_validator(mode="after")
    def _divide_each_other(self) -> Self:
        longer = max(self.checkpoint_every, self.validate_every)
        for larger, smaller, numbers in (
            ("steps", "validate_every", (self.steps, self.validate_every)),
            ("checkpoint_every or validate_every", "the other", (longer, self.piece)),
            ("checkpoint_every and validate_every", "steps_per_execution", (self.piece, self.steps_per_execution)),
        ):
            if numbers[0] % numbers[1]:
                raise ValueError(
                    f"must have {larger} that are multiples of {smaller}, not {numbers[0]} and {numbers[1]}"
                )
        if self.second_round and not self.patience:
            raise ValueError("must have patience above 0 with second_round=true, which begins after the early stop")
        if self.decay == "plateau" and self.warmup_steps:
            raise ValueError("must have warmup_steps=0 with decay=plateau")
        return self
