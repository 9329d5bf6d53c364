import os
import signal
from pathlib import Path

from Input.workers import in_parallel, results

import pytest


def test_jobs_run_in_other_processes_and_each_keeps_its_error(tmp_path):
    folders = [(tmp_path / "a",), (tmp_path / "missing" / "b",), (tmp_path / "c",)]
    errors = [future.exception() for future in in_parallel(Path.mkdir, folders, workers=2)]
    assert sorted(os.listdir(tmp_path)) == ["a", "c"]
    assert sorted(type(error).__name__ for error in errors) == ["FileNotFoundError", "NoneType", "NoneType"]
    assert len({future.result() for future in in_parallel(os.getpid, [()] * 8, workers=2)} - {os.getpid()}) in (1, 2)
    assert list(in_parallel(os.getpid, [])) == []


def test_results_are_of_this_process_or_of_others():
    assert list(results(os.getpid, [()] * 3, 1)) == [os.getpid()] * 3
    assert os.getpid() not in results(os.getpid, [()] * 3, 2)


@pytest.mark.parametrize("spread", [in_parallel, results])
def test_a_worker_that_is_killed_is_one_line(spread):
    with pytest.raises(OSError, match="a worker was killed .*the same command goes on"):
        list(spread(signal.raise_signal, [(signal.SIGKILL,)], 2))
