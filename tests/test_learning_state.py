"""A run's state: every wrong bit is found, and there is a whole one wherever a kill or a disk strikes."""

import os
import random

from Learning.state import Course, course_of_best, keep_newest, previous_state, read_course, restore, save_state

import keras
import numpy as np
import pytest

ROWS = [{"step": n, "loss": 1.0, "validation_loss": loss} for n, loss in ((2, 5.0), (4, 3.0), (6, 4.0), (8, 3.0))]


@pytest.fixture
def model():
    keras.utils.set_random_seed(3)
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    model.compile("adam", "mse")
    model.optimizer.build(model.trainable_variables)
    return model


@pytest.fixture
def path(tmp_path, model):
    """Of a run that was saved at step 5, then at step 9."""
    path = tmp_path / "state.npz"
    for step in (5, 9):
        model.set_weights([np.full_like(each, step) for each in model.get_weights()])
        save_state(path, Course(step=step, rows=ROWS[:2]), model, model)
    return path


def test_the_state_before_is_kept_whole(path, model):
    assert read_course(path).step == 9 and read_course(previous_state(path)).step == 5
    restore(previous_state(path), model, model)
    assert all(np.all(each == 5) for each in model.get_weights())


def test_no_flipped_bit_passes_for_another_state(path):
    """A bit that does not count (the time of a member, say) may pass, if all that is read is as it was written."""
    whole, course = path.read_bytes(), read_course(path)
    with np.load(path) as arrays:
        expected = dict(arrays)
    found = 0
    directory = whole.rindex(b"PK\x01\x02") - 600  # most of its members, and what stands at the end
    places = sorted({*random.Random(0).sample(range(len(whole)), 300), *range(directory, len(whole), 3)})
    for place in places:
        damaged = bytearray(whole)
        damaged[place] ^= 1 << place % 8
        path.write_bytes(damaged)
        try:
            assert read_course(path) == course
        except ValueError as error:
            assert str(error).startswith(f"{path} is damaged (")
            found += 1
            continue
        with np.load(path) as arrays:
            assert arrays.files == [*expected]
            assert all(np.array_equal(arrays[name], each) for name, each in expected.items())
    assert found > 0.5 * len(places)


@pytest.mark.parametrize("damaged", ["shortened", "emptied", "a text", "another course", "gone"])
def test_a_state_that_cannot_be_read_gives_way_to_the_one_before(path, model, damaged):
    whole = path.read_bytes()
    if damaged == "another course":
        np.savez(path, course=np.array('["not", "a", "course"]'))
    elif damaged == "gone":
        path.unlink()
    else:
        path.write_bytes({"shortened": whole[: len(whole) // 2], "emptied": b"", "a text": b"no zip at all"}[damaged])
    fault = keep_newest(path)
    assert fault.startswith(f"{path} is damaged (") if damaged != "gone" else fault == ""
    assert read_course(path).step == 5 and not previous_state(path).exists()
    save_state(path, Course(step=7), model, model)
    assert [read_course(each).step for each in (path, previous_state(path))] == [7, 5]


def test_two_that_cannot_be_read_are_both_told_and_stay(path):
    for each in (path, previous_state(path)):
        each.write_bytes(b"")
    with pytest.raises(ValueError, match=r"state.npz is damaged \(.*\); .*state.previous.npz is damaged \("):
        keep_newest(path)
    assert path.read_bytes() == previous_state(path).read_bytes() == b""


def test_a_sound_state_is_left_alone_and_no_state_is_no_fault(path, tmp_path):
    before = path.stat()
    assert keep_newest(path) == "" and path.stat() == before
    assert keep_newest(tmp_path / "none.npz") == "" and read_course(tmp_path / "none.npz") == Course()


@pytest.mark.parametrize("survives", range(2))
def test_a_kill_at_any_step_of_saving_leaves_a_whole_state(path, model, monkeypatch, survives):
    replaced, replace = [], os.replace

    def killed(*names):
        if len(replaced) == survives:
            raise SystemExit
        replaced.append(names)
        replace(*names)

    monkeypatch.setattr(os, "replace", killed)
    with pytest.raises(SystemExit):
        save_state(path, Course(step=11), model, model)
    monkeypatch.undo()
    assert keep_newest(path) == "" and read_course(path).step == 9


def test_a_course_from_the_log_is_that_of_the_best_validation_or_of_the_end():
    course = course_of_best(ROWS[:3], steps=20, batch_size=3, patience=5)
    assert (course.step, course.example, course.best, course.best_step) == (4, 12, 3.0, 4)
    assert course.rows == ROWS[:2] and course.begins_from_best and not course.finished
    for steps, patience in ((8, 0), (20, 2)):  # the first of two equal ones is the best one
        ended = course_of_best(ROWS, steps, 3, patience)
        assert (ended.step, ended.best_step, ended.rows) == (8, 4, ROWS) and ended.finished
        assert not ended.begins_from_best
    assert not course_of_best(ROWS, steps=20, batch_size=3, patience=0).finished
