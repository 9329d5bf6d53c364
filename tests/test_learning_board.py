"""What TensorBoard finds in a run, read by TensorBoard's own reader."""

import threading

from Learning.board import Board
from Learning.state import Course

import keras
import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.compat.proto.graph_pb2 import GraphDef

TAGS = {"loss": "loss/training", "validation_loss": "loss/validation", "learning_rate": "learning_rate"}
PICTURE = np.linspace(0, 1, 4 * 6 * 3).reshape(4, 6, 3)
SOUND = np.linspace(-1.5, 1.5, 800)[:, None]


@pytest.fixture
def network():
    mixture, labels = keras.Input((8, 1), name="mixture"), keras.Input((8,), name="labels")
    scaled = keras.layers.Multiply(name="gate")([mixture, keras.layers.Reshape((8, 1), name="shaped")(labels)])
    return keras.Model({"mixture": mixture, "labels": labels}, keras.layers.Conv1D(2, 3, name="filters")(scaled))


def row_at(step):
    return {"step": step, "loss": 1 / step, "validation_loss": 2 / step, "learning_rate": 0.5**step}


def part(folder, network, course, steps):
    """A part of a run that validates at each of some steps."""
    board = Board(folder, course, network, 8_000, lambda: ({"vn/estimate": SOUND}, PICTURE))
    for step in steps:
        course.step, course.example = step, 3 * step
        board.trained(course, 1.0)
        board.validated(course, row_at(step), best=True)
    board.close()


def read(folder) -> EventAccumulator:
    events = EventAccumulator(str(folder), size_guidance={"scalars": 0, "audio": 0, "images": 0})
    return events.Reload()


def test_it_finds_losses_sound_pictures_and_the_network(tmp_path, network):
    part(tmp_path, network, Course(), [2, 4])
    events = read(tmp_path)
    for name, tag in TAGS.items():
        found = [(event.step, event.value) for event in events.Scalars(tag)]
        assert found == [(step, pytest.approx(row_at(step)[name])) for step in (2, 4)]
    [first, _] = events.Audio("vn/estimate")
    assert (first.sample_rate, first.step) == (8_000, 2) and first.encoded_audio_string[:4] == b"RIFF"
    picture = events.Images("spectrograms")[0]
    assert (picture.width, picture.height) == (6, 4)
    graph = GraphDef()
    graph.ParseFromString(events.Graph().SerializeToString())
    nodes = {node.name: list(node.input) for node in graph.node}
    assert nodes == {
        "mixture": [],
        "labels": [],
        "shaped": ["labels"],
        "gate": ["mixture", "shaped"],
        "filters": ["gate"],
    }


def test_what_was_written_after_the_step_that_it_goes_on_from_is_left_out(tmp_path, network):
    """Killed after step 6 with a state of step 4: steps 5 and 6 come twice, and count once."""
    part(tmp_path, network, Course(), [2, 4, 6])
    part(tmp_path, network, Course(step=4, example=12), [6, 8])
    steps = [event.step for event in read(tmp_path).Scalars("loss/training")]
    assert steps == [2, 4, 6, 8]


def test_a_full_disk_silences_it_and_the_training_goes_on(tmp_path, network, monkeypatch, capsys):
    course = Course()
    board = Board(tmp_path, course, network, 8_000, lambda: ({"vn/estimate": SOUND}, PICTURE))
    events = board.writer.file_writer.event_writer

    def full(event):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(events._ev_writer, "write_event", full)
    monkeypatch.setattr(threading, "excepthook", lambda error: None)
    for step in range(1, 400):  # more than the queue holds
        course.step, course.example = step, 3 * step
        board.validated(course, row_at(1), best=True)
        if step == 1:
            events._worker.join(timeout=30)
            assert not events._worker.is_alive()
    board.close()
    assert capsys.readouterr().err.count("TensorBoard's file could not be written") == 1
