"""One accelerator or many, one process or several: what there is, and how it shares a batch. Many devices need JAX."""

import atexit
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

HEARTBEAT_SECONDS = 30  # after which a process that died is missed
ASKED_EVERY = 10  # steps, between which several processes do not ask each other whether to stop


@dataclass(frozen=True)
class Devices:
    """What trains.

    Args:
        count: accelerators of all processes together.
        process: this process's index.
        processes: how many there are.
    """

    count: int = 1
    process: int = 0
    processes: int = 1

    @property
    def share(self) -> tuple[int, int]:
        """This process's index and how many share each batch."""
        return self.process, self.processes

    @property
    def writes(self) -> bool:
        """Whether this process is the one that writes files."""
        return self.process == 0

    def require_even(self, batch_size: int) -> None:
        """Raises ValueError if the devices cannot share a batch evenly."""
        if batch_size % self.count:
            raise ValueError(
                f"expected a training.batch_size that {self.count} devices share evenly. Received: {batch_size}; "
                f"{batch_size // self.count * self.count or self.count} is one"
            )

    def wait(self) -> None:
        """Waits for all other processes to come here."""
        if self.processes > 1:
            _multihost().sync_global_devices("checkpoint")

    def agreed(self, asked: Callable[[], bool]) -> Callable[[int], bool]:
        """Whether any process was asked to stop, by step: all processes give the same answer at a step."""
        if self.processes == 1:
            return lambda step: asked()

        def any_asked(step: int) -> bool:
            return step % ASKED_EVERY == 0 and bool(_multihost().process_allgather(np.array(asked())).any())

        return any_asked


def joined(processes: int) -> Devices:
    """The devices, to be called once before anything is computed; every batch is then shared by all of them.

    Several processes find each other as JAX does: on TPU pods, SLURM and Open MPI by themselves, elsewhere by the
    environment variables JAX_COORDINATOR_ADDRESS (host:port of the first process) and JAX_PROCESS_ID.

    Args:
        processes: how many train together; 1 for this one alone.

    Raises:
        ValueError: if there should be several and the backend is not JAX, or they do not find each other.
    """
    if keras.backend.backend() != "jax":
        if processes > 1:
            raise ValueError(
                f"expected training.processes=1 on {keras.backend.backend()}. Received: {processes}; several processes "
                "train on JAX: KERAS_BACKEND=jax"
            )
        return Devices()
    import jax

    if processes > 1:
        _join(jax, processes)
    devices = Devices(jax.device_count(), jax.process_index(), jax.process_count())
    if devices.count > 1:
        keras.distribution.set_distribution(keras.distribution.DataParallel(auto_shard_dataset=False))
    return devices


def _join(jax: Any, processes: int) -> None:
    if jax.distributed.is_initialized():
        return
    jax.config.update("jax_enable_preemption_service", False)  # it takes SIGTERM for itself, before Python receives it
    said = {"num_processes": processes, "process_id": int(os.environ.get("JAX_PROCESS_ID", -1))}
    by_hand = "JAX_COORDINATOR_ADDRESS" in os.environ and said["process_id"] >= 0
    try:
        jax.distributed.initialize(**(said if by_hand else {}), heartbeat_timeout_seconds=HEARTBEAT_SECONDS)
    except (ValueError, RuntimeError) as error:
        raise ValueError(
            f"{processes} processes could not find each other ({str(error).splitlines()[0]}); outside of TPU pods, "
            "SLURM and Open MPI set JAX_COORDINATOR_ADDRESS=host:port and JAX_PROCESS_ID=0,1,... for each"
        ) from None
    if jax.process_count() != processes:
        raise ValueError(
            f"expected training.processes={processes}. Received: {jax.process_count()} that found each other"
        )


@dataclass(frozen=True)
class Memory:
    """What training needs of each device, roughly, and what there is, in bytes.

    Weights are held four times (with their gradients and Adam's two moments), five with an average.

    Args:
        weights: of the network.
        averages: whether their moving average is held too.
        activations: bytes for one example, each value counted once.
        data: bytes of what is held beside all that: a data set, with data.cache=device.
        available: of a device; 0 where it is not known.
        accelerator: whether the device is one. There XLA computes most values anew instead of keeping them: the
            full-size Wave-U-Net took 0.7 times its activations on an H200. On two cores it took 1.6 to 3.8 times as
            much: what the convolutions work in, and gradients.
    """

    weights: int
    averages: bool
    activations: int
    data: int
    available: int
    accelerator: bool

    def needed(self, batch_size: int) -> int:
        """For so many examples on one device."""
        held = (5 if self.averages else 4) * 4 * self.weights + self.data
        return held + (1 if self.accelerator else 3) * self.activations * batch_size

    def largest_batch(self) -> int:
        """The most examples on one device that fit; at least 1."""
        return max(1, (self.available - self.needed(0)) // (self.needed(1) - self.needed(0)))

    def note(self, batch_size: int) -> str:
        """In a sentence, for so many examples on one device."""
        said = f"about {self.needed(batch_size) / 1e9:.1f} GB for {batch_size} example(s)"
        if not self.available:
            return said
        fits = "" if self.needed(batch_size) <= self.available else "; that may not fit"
        return f"{said} of {self.available / 1e9:.1f} GB on each device{fits}, {self.largest_batch()} should at most"


def accelerator_bytes() -> int:
    """Memory of an accelerator; 0 where none computes."""
    jax = sys.modules.get("jax")
    if not jax or keras.backend.backend() != "jax":
        return 0
    return int((jax.local_devices()[0].memory_stats() or {}).get("bytes_limit", 0))


def free_bytes() -> int:
    """Memory of the machine that is free; 0 where it is not known."""
    try:
        with open("/proc/meminfo") as file:
            return next(1024 * int(line.split()[1]) for line in file if line.startswith("MemAvailable"))
    except (OSError, StopIteration):
        return 0


def _leave() -> None:
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(1)


@contextmanager
def explained(memory: Memory, batch_size: int) -> Iterator[None]:
    """Says so in one line if what stops the training is that memory is short, or that another process is gone.

    Raises:
        OSError: instead of the backend's error.
    """
    try:
        yield
    except Exception as error:
        if any("RESOURCE_EXHAUSTED" in str(e) or "ResourceExhausted" in type(e).__name__ for e in _chain(error)):
            raise OSError(
                f"out of memory: {memory.note(batch_size)}. Lower training.batch_size (training.accumulate=2 makes two "
                "batches one step), or train in bfloat16 with training.precision=mixed_bfloat16"
            ) from error
        jax = sys.modules.get("jax")
        # JAX has no kind of its own for it: collectives fail with one or another.
        lost = any(word in str(error) for word in ("Gloo", "Connection closed", "heartbeat", "UNAVAILABLE", "NCCL"))
        if jax and jax.process_count() > 1:
            atexit.register(_leave)  # first of all that happens at exit, because JAX would wait for the others
        if jax and jax.process_count() > 1 and (lost or isinstance(error, jax.errors.JaxRuntimeError)):
            raise ConnectionError(
                f"another process of this training is gone ({str(error).splitlines()[0]}); start them again, and "
                "they go on from the last checkpoint"
            ) from error
        raise


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """An error, and those while which it was raised: Keras may fail at cleaning up after the first one."""
    while error:
        yield error
        error = error.__cause__ or error.__context__


def _multihost() -> Any:
    from jax.experimental import multihost_utils

    return multihost_utils
