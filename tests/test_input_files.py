import os
from pathlib import Path

from Input.files import wav_writer, whole_file, whole_folder
from Input.workers import in_parallel

import numpy as np
import pytest
import soundfile


def test_a_file_appears_when_it_is_whole_and_never_before(tmp_path):
    path = tmp_path / "a.json"
    for text in ("first", "second"):
        before = path.read_text() if path.exists() else None
        with whole_file(path) as partial:
            partial.write_text(text)
            assert (path.read_text() if path.exists() else None) == before
        assert path.read_text() == text and list(tmp_path.iterdir()) == [path]


def test_a_file_that_fails_leaves_the_old_one(tmp_path):
    path = tmp_path / "a.json"
    path.write_text("old")
    with pytest.raises(KeyboardInterrupt), whole_file(path) as partial:
        partial.write_text("ne")
        raise KeyboardInterrupt
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def test_a_folder_takes_the_place_of_the_old_one_as_a_whole(tmp_path):
    folder = tmp_path / "below" / "a"
    for name in ("first", "second"):
        with whole_folder(folder) as partial:
            (partial / name).touch()
            assert not (folder / name).exists()
        assert os.listdir(folder) == [name] and os.listdir(folder.parent) == ["a"]


def test_a_folder_that_fails_leaves_the_old_one_and_what_a_kill_left_is_no_hindrance(tmp_path):
    folder = tmp_path / "a"
    for kept in (whole_folder(folder), whole_folder(folder)):
        with kept as partial:
            (partial / "old").touch()
    with pytest.raises(ValueError), whole_folder(folder) as partial:
        (partial / "new").touch()
        left = partial
        raise ValueError
    assert os.listdir(folder) == ["old"] and os.listdir(tmp_path) == ["a"]
    left.mkdir()
    (left / "left").touch()
    with whole_folder(folder) as partial:
        (partial / "new").touch()
    assert os.listdir(folder) == ["new"]


@pytest.mark.parametrize(("subtype", "expected"), [("PCM_16", [-1, 0.5, 32767 / 32768]), ("FLOAT", [-1.5, 0.5, 1.5])])
def test_a_wav_clips_only_where_it_must(tmp_path, subtype, expected):
    path = tmp_path / "a.wav"
    with wav_writer(path, 8_000, 1, subtype) as file:
        file.write(np.array([-1.5, 0.5, 1.5]))
    assert soundfile.read(path)[0].tolist() == expected


def test_a_wav_that_cannot_be_written_is_an_oserror_of_its_path(tmp_path):
    with pytest.raises(OSError, match=f"{tmp_path}/no/a.wav cannot be written"):
        with wav_writer(tmp_path / "no" / "a.wav", 8_000, 1, "PCM_16"):
            pass


def test_jobs_run_in_other_processes_and_each_keeps_its_error(tmp_path):
    folders = [(tmp_path / "a",), (tmp_path / "missing" / "b",), (tmp_path / "c",)]
    errors = [future.exception() for future in in_parallel(Path.mkdir, folders, workers=2)]
    assert sorted(os.listdir(tmp_path)) == ["a", "c"]
    assert sorted(type(error).__name__ for error in errors) == ["FileNotFoundError", "NoneType", "NoneType"]
    assert len({future.result() for future in in_parallel(os.getpid, [()] * 8, workers=2)} - {os.getpid()}) in (1, 2)
    assert list(in_parallel(os.getpid, [])) == []
