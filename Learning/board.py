"""What TensorBoard shows of a run: curves, sound, pictures, the network. Needs no TensorFlow."""

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
from tensorboardX import SummaryWriter
from tensorboardX.proto.event_pb2 import Event
from tensorboardX.proto.graph_pb2 import GraphDef
from tensorboardX.proto.node_def_pb2 import NodeDef
from tensorboardX.proto.versions_pb2 import VersionDef

from .state import Course, Row
from .watchers import Watcher

SPEED_SECONDS = 10.0  # between two values of the speed
WAITING_EVENTS = 1_000  # more than a validation writes, so that nobody waits for a thread that has died


class Board(Watcher):
    """Writes for TensorBoard as a run goes on; what is written after the step that it goes on from is left out.

    Args:
        folder: where the events are kept.
        course: how far the run is.
        network: what is trained.
        sample_rate_hz: of the sounds.
        listen: gives, after a validation, signals (T, C) by name, and a picture (H, W, 3); None where nothing sounds.
        waiting: the share of steps that had to wait for their batch.
    """

    def __init__(
        self,
        folder: Path,
        course: Course,
        network: keras.Model,
        sample_rate_hz: int,
        listen: Callable[[], tuple[Mapping[str, np.ndarray], np.ndarray]] | None,
        waiting: Callable[[], float] = lambda: 0.0,
    ):
        self.sample_rate_hz, self.listen, self.waiting = sample_rate_hz, listen, waiting
        purge_step = course.step + 1 if course.step else None
        suffix = f".{course.step:09}"  # files are named by the second, and read in the order of their names
        self.writer = SummaryWriter(
            str(folder), purge_step=purge_step, max_queue=WAITING_EVENTS, flush_secs=10, filename_suffix=suffix
        )
        if not course.step:
            event = Event(graph_def=graph(network).SerializeToString())
            self.writer.file_writer.event_writer.add_event(event)
        self.written, self.silent = (time.monotonic(), course.example), False

    def trained(self, course: Course, loss: float) -> None:
        """Tells the speed and the running loss now and then."""
        now, (then, example) = time.monotonic(), self.written
        if now - then >= SPEED_SECONDS and self._writes():
            self.writer.add_scalar("speed/examples_per_second", (course.example - example) / (now - then), course.step)
            self.writer.add_scalar("speed/steps_waiting_for_input", self.waiting(), course.step)
            self.writer.add_scalar("loss/running", loss, course.step)
            self.written = now, course.example

    def validated(self, course: Course, row: Row, best: bool) -> None:
        """Tells the losses and the learning rate; sounds and the picture."""
        if not self._writes():
            return
        for name, tag in (("loss", "loss/training"), ("validation_loss", "loss/validation"), ("learning_rate",) * 2):
            self.writer.add_scalar(tag, row[name], course.step)
        if self.listen:
            sounds, picture = self.listen()
            for name, signal in sounds.items():
                self.writer.add_audio(name, np.clip(signal, -1, 1), course.step, self.sample_rate_hz)
            self.writer.add_image("spectrograms", picture, course.step, dataformats="HWC")
        self.writer.flush()

    def close(self) -> None:
        """Writes what waits to be written."""
        if self._writes():
            self.writer.close()

    def _writes(self) -> bool:
        """Whether the thread that writes still lives: it ends at an error, as of a full disk, without a word."""
        events = self.writer.file_writer.event_writer
        writes = events._worker.is_alive()
        if not writes and not self.silent:
            self.silent = True
            events._event_queue.cancel_join_thread()  # or the process waits at its end for what nobody takes
            print("note: TensorBoard's file could not be written; the training goes on without it", file=sys.stderr)
        return writes


def graph(network: keras.Model) -> GraphDef:
    """The layers of a network and what each is given, as TensorBoard draws them."""
    layers = network.get_config()["layers"]
    nodes = [
        NodeDef(name=layer["name"], op=layer["class_name"], input=list(dict.fromkeys(_heard(layer["inbound_nodes"]))))
        for layer in layers
    ]
    return GraphDef(node=nodes, versions=VersionDef(producer=22))


def _heard(nested: Any) -> Iterator[str]:
    """The names of the layers whose outputs a layer's configuration names."""
    if isinstance(nested, dict):
        if "keras_history" in nested:
            yield str(nested["keras_history"][0])
        nested = list(nested.values())
    if isinstance(nested, (list, tuple)):
        for each in nested:
            yield from _heard(each)
