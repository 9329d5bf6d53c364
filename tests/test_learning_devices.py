"""What devices share and hold: even batches, memory told before it is short, and errors that say what to do."""

import dataclasses

from Learning.devices import Devices, Memory, explained, free_bytes

import keras
import numpy as np
import pytest

GB = 10**9
MEMORY = Memory(weights=10_000_000, averages=False, activations=GB // 4, data=GB, available=8 * GB, accelerator=True)


def with_(**changes):
    return dataclasses.replace(MEMORY, **changes)


def test_memory_is_what_is_held_and_what_each_example_takes():
    held = 4 * 4 * 10_000_000 + GB  # float32: weights, gradients, two moments; and the data set
    assert [MEMORY.needed(n) for n in (0, 1, 4)] == [held, held + GB // 4, held + GB]
    assert with_(averages=True).needed(0) == held + 4 * 10_000_000
    assert with_(accelerator=False).needed(4) == held + 3 * GB


@pytest.mark.parametrize("changes", [{}, {"accelerator": False}, {"data": 0}, {"activations": 7}, {"averages": True}])
def test_the_largest_batch_fits_and_one_more_does_not(changes):
    memory = with_(**changes)
    largest = memory.largest_batch()
    assert memory.needed(largest) <= memory.available < memory.needed(largest + 1)


def test_the_note_says_whether_it_fits():
    assert MEMORY.largest_batch() == 27
    assert MEMORY.note(27) == "about 7.9 GB for 27 example(s) of 8.0 GB on each device, 27 should at most"
    assert "of 8.0 GB on each device; that may not fit, 27 should at most" in MEMORY.note(28)
    assert with_(available=0).note(28) == "about 8.2 GB for 28 example(s)"  # nothing is known of the device
    assert "1 should at most" in with_(available=1).note(4)


@pytest.fixture(scope="module")
def shortage() -> Exception:
    """The backend's own error, of an array larger than any machine, which it waits for."""
    with pytest.raises(Exception) as error:  # noqa: B017, PT011
        np.asarray(keras.ops.zeros((1 << 23, 1 << 23)) + 1)
    return error.value


@pytest.mark.slow
def test_memory_that_is_short_ends_in_one_line_with_the_largest_batch(shortage):
    message = "out of memory: about 8.2 GB for 28 .* 27 should at most. Lower training.batch_size"
    with pytest.raises(OSError, match=message), explained(MEMORY, 28):
        raise shortage


@pytest.mark.slow
def test_memory_that_is_short_is_told_also_where_cleaning_up_fails_after_it(shortage):
    with pytest.raises(OSError, match="out of memory"), explained(MEMORY, 28):
        try:
            raise shortage
        finally:
            raise AttributeError("'NoneType' has no attribute 'variables'")


def test_other_errors_stay_what_they_are():
    with pytest.raises(ZeroDivisionError), explained(MEMORY, 28):
        raise ZeroDivisionError


def test_a_batch_is_shared_evenly_or_refused_with_the_nearest_that_is():
    for batch_size in (4, 8):
        Devices(4).require_even(batch_size)
    for batch_size, nearest in ((3, 4), (7, 4), (9, 8)):
        with pytest.raises(ValueError, match=f"that 4 devices share evenly. Received: {batch_size}; {nearest} is one"):
            Devices(4).require_even(batch_size)


def test_free_memory_is_that_of_the_kernel():
    with open("/proc/meminfo") as file:
        told = {line.split(":")[0]: 1024 * int(line.split()[1]) for line in file}
    assert 0 < free_bytes() < told["MemTotal"]
    assert free_bytes() == pytest.approx(told["MemAvailable"], rel=0.2)
