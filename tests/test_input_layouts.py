from collections import Counter
from pathlib import Path

from Input.readers.layouts import (
    audio_files,
    clean_name,
    missing_splits,
    other_files,
    repeated,
    stable_place,
    stable_splits,
)
from Input.track_preparation import SourcePart, SourceTrack

import pytest


def track(name: str, split: str) -> SourceTrack:
    return SourceTrack(name, split, name, (SourcePart(1, "vn", Path(split, name, "vn.wav")),))


# ---------------------------------------------------------------- splits


def test_shares_are_what_was_asked_for_and_names_alone_decide():
    names = [f"recording {number}" for number in range(3_000)]
    splits = stable_splits(names, 0.1, 0.2)
    counts = Counter(splits.values())
    assert abs(counts["validation"] - 300) < 60 and abs(counts["test"] - 600) < 80
    assert stable_splits(names[::-1], 0.1, 0.2) == splits
    some = stable_splits(names[:1_000] + ["another"], 0.1, 0.2)
    assert all(some[name] == splits[name] for name in names[:1_000])


def test_places_never_change():
    """The first digits that sha256sum prints. If this changes, what was for tests will be trained on."""
    assert stable_place("vn_-0RWZT") == pytest.approx(0x1C23CB61EC7F / 16**12)
    assert stable_place("Schubert – Ständchen") == pytest.approx(0x5BB03F01D0F0 / 16**12)


@pytest.mark.parametrize("seed", range(50))
@pytest.mark.parametrize("count", [3, 4, 7])
@pytest.mark.parametrize(("validation", "test"), [(0.1, 0.1), (0.4, 0.4), (0.01, 0.49)])
def test_of_three_names_at_least_one_is_in_each_split(seed, count, validation, test):
    names = [f"{seed} {number}" for number in range(count)]
    splits = stable_splits(names, validation, test)
    assert set(splits.values()) == {"train", "validation", "test"} and set(splits) == set(names)


def test_a_name_stands_in_only_where_a_split_would_be_empty_and_the_nearest_does():
    names = sorted((f"name {number}" for number in range(200)), key=stable_place)
    few = names[100:110]  # all in the middle of the places, so all of train
    splits = stable_splits(few, 0.1, 0.1)
    assert [splits[name] for name in few] == ["test", "validation"] + 8 * ["train"]
    assert set(stable_splits(few[:2], 0.1, 0.1).values()) == {"train"}
    assert Counter(stable_splits(few, 0.1, 0.0).values()) == {"train": 9, "validation": 1}


def test_a_split_that_training_needs_is_missed():
    assert missing_splits([track("a", "train"), track("b", "validation")]) == []
    assert missing_splits([track("a", "test"), track("b", "test_unseen_bank")]) == []
    [line] = missing_splits([track("a", "train"), track("b", "test")])
    assert "no track is left for the split 'validation' (found: test, train)" in line
    assert len(missing_splits([track("a", "other")])) == 2


def test_a_name_that_is_there_twice_is_told_with_both_places():
    tracks = [track("a", "train"), track("b", "train"), track("a", "test"), track("A", "test")]
    [line] = repeated(tracks)
    assert "test/a/vn.wav" in line and "train/a/vn.wav" in line


# ---------------------------------------------------------------- names and files


@pytest.mark.parametrize(
    ("given", "clean"),
    [
        ("vocals", "vocals"),
        ("Lead Vocals", "lead_vocals"),
        ("E-Guitar (L)", "e-guitar_l"),
        ("Violín 2", "violin_2"),
        ("__init__", "init"),
        ("a,b=c;d'e\"f/g", "a_b_c_d_e_f_g"),
        ("Гитара", ""),
        ("...", ""),
    ],
)
def test_a_clean_name_can_stand_in_a_command(given, clean):
    assert clean_name(given) == clean


def test_sound_is_told_by_the_ending_and_hidden_files_never_count(tmp_path):
    for name in ("a.wav", "b.M4A", "-0RW_.webm", "c.stem.mp4", "._a.wav", ".DS_Store", "notes.txt", "cover.jpg"):
        (tmp_path / name).touch()
    (tmp_path / "folder.wav").mkdir()
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git/config").touch()
    assert [path.name for path in audio_files(tmp_path)] == ["-0RW_.webm", "a.wav", "b.M4A", "c.stem.mp4"]
    assert other_files(tmp_path) == ["2 file(s) without an ending of sound are left alone, such as cover.jpg"]
    with pytest.raises(FileNotFoundError, match="no such folder: .*nowhere"):
        audio_files(tmp_path / "nowhere")
