import os
from pathlib import Path

from Input.workers import in_parallel


def test_jobs_run_in_other_processes_and_each_keeps_its_error(tmp_path):
    folders = [(tmp_path / "a",), (tmp_path / "missing" / "b",), (tmp_path / "c",)]
    errors = [future.exception() for future in in_parallel(Path.mkdir, folders, workers=2)]
    assert sorted(os.listdir(tmp_path)) == ["a", "c"]
    assert sorted(type(error).__name__ for error in errors) == ["FileNotFoundError", "NoneType", "NoneType"]
    assert len({future.result() for future in in_parallel(os.getpid, [()] * 8, workers=2)} - {os.getpid()}) in (1, 2)
    assert list(in_parallel(os.getpid, [])) == []
