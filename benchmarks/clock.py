"""How long steps take, without the checkpoint that follows them."""

import time
from typing import Any

import keras


class Clock(keras.callbacks.Callback):
    """From the first step of an epoch to the end of its last one; the checkpoint that follows is left out."""

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Begins."""
        self.began = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Ends, when the device has."""
        float(logs["loss"])
        self.seconds = time.perf_counter() - self.began
