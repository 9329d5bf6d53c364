import json
import re
from collections import Counter, defaultdict
from pathlib import Path

import Prepare
from Input.instruments import INSTRUMENTS
from Input.preparation import SourcePart
from Input.prepared import Prepared
from Input.readers.urmp import urmp_tracks

import numpy as np
import pytest
import soundfile

# The 44 folders of the data set (Li et al. 2018).
URMP = """
01_Jupiter_vn_vc 02_Sonata_vn_vn 03_Dance_fl_cl 04_Allegro_fl_fl 05_Entertainer_tpt_tpt 06_Entertainer_sax_sax
07_GString_tpt_tbn 08_Spring_fl_vn 09_Jesus_tpt_vn 10_March_tpt_sax 11_Maria_ob_vc 12_Spring_vn_vn_vc 13_Hark_vn_vn_va
14_Waltz_fl_fl_cl 15_Surprise_tpt_tpt_tbn 16_Surprise_tpt_tpt_sax 17_Nocturne_vn_fl_cl 18_Nocturne_vn_fl_tpt
19_Pavane_cl_vn_vc 20_Pavane_tpt_vn_vc 21_Rejouissance_cl_tbn_tba 22_Rejouissance_sax_tbn_tba 23_Rejouissance_cl_sax_tba
24_Pirates_vn_vn_va_vc 25_Pirates_vn_vn_va_sax 26_King_vn_vn_va_vc 27_King_vn_vn_va_sax 28_Fugue_fl_ob_cl_bn
29_Fugue_fl_fl_ob_cl 30_Fugue_fl_fl_ob_sax 31_Slavonic_tpt_tpt_hn_tbn 32_Fugue_vn_vn_va_vc 33_Elise_tpt_tpt_hn_tbn
34_Fugue_tpt_tpt_hn_tbn 35_Rondeau_vn_vn_va_db 36_Rondeau_vn_vn_va_vc 37_Rondeau_fl_vn_va_cl
38_Jerusalem_vn_vn_va_vc_db 39_Jerusalem_vn_vn_va_sax_db 40_Miserere_fl_fl_ob_cl_bn 41_Miserere_fl_fl_ob_sax_bn
42_Arioso_tpt_tpt_hn_tbn_tba 43_Chorale_tpt_tpt_hn_tbn_tba 44_K515_vn_vn_va_va_vc
""".split()


def add_piece(root: Path, name: str) -> Path:
    """A piece's folder with URMP's files, all empty."""
    number, title, *instruments = name.split("_")
    folder = root / name
    folder.mkdir(parents=True)
    for part in (f"{i}_{instrument}_{number}_{title}" for i, instrument in enumerate(instruments, 1)):
        for file in (f"AuSep_{part}.wav", f"F0s_{part}.txt", f"Notes_{part}.txt"):
            (folder / file).touch()
    for file in (f"AuMix_{name}.wav", f"Sco_{name}.mid", f"Vid_{name}.mp4"):
        (folder / file).touch()
    return folder


def add_clutter(root: Path) -> None:
    """What lies beside and among the pieces: supplements, a notice, and the hidden files and folders of a Mac."""
    (root / "Supplementary_Files").mkdir()
    (root / "Supplementary_Files" / "AuSep_1_vn_01_Jupiter.wav").touch()
    (root / "00_README.txt").touch()
    for folder in [root, *root.glob("[0-9]*/")]:
        (folder / ".DS_Store").touch()
    for file in list(root.glob("*/AuSep_*")):
        file.with_name(f"._{file.name}").touch()
    (root / "._01_Jupiter_vn_vc").touch()
    (root / ".01_Jupiter_vn_vc").mkdir()
    (root / ".02_Hidden_vn_vn").mkdir()


# ---------------------------------------------------------------- what is read


def test_parts_are_numbered_files_of_the_folder(tmp_path):
    folder = add_piece(tmp_path, "24_Pirates_vn_vn_va_vc")
    (track,), remarks = urmp_tracks(tmp_path)
    assert (track.name, track.group, track.split, remarks) == ("24_Pirates_vn_vn_va_vc", "Pirates", "train", [])
    assert track.mixture == SourcePart(0, "mixture", folder / "AuMix_24_Pirates_vn_vn_va_vc.wav")
    assert track.parts == (
        SourcePart(1, "vn", folder / "AuSep_1_vn_24_Pirates.wav"),
        SourcePart(2, "vn", folder / "AuSep_2_vn_24_Pirates.wav"),
        SourcePart(3, "va", folder / "AuSep_3_va_24_Pirates.wav"),
        SourcePart(4, "vc", folder / "AuSep_4_vc_24_Pirates.wav"),
    )


def test_the_whole_data_set_is_read_in_order_without_a_remark(tmp_path):
    for name in reversed(URMP):
        add_piece(tmp_path, name)
    tracks, remarks = urmp_tracks(tmp_path)
    assert [track.name for track in tracks] == URMP and remarks == []
    # The counts that the data set's authors give.
    assert Counter(len(track.parts) for track in tracks) == {2: 11, 3: 12, 4: 14, 5: 7}
    assert Counter(part.instrument for track in tracks for part in track.parts) == dict(
        vn=34, tpt=21, fl=18, va=13, vc=11, sax=11, cl=10, tbn=9, ob=6, tba=5, hn=5, bn=3, db=3
    )


def test_hidden_and_supplementary_files_change_nothing(tmp_path):
    for name in URMP[:3]:
        add_piece(tmp_path, name)
    clean = urmp_tracks(tmp_path)
    add_clutter(tmp_path)
    assert urmp_tracks(tmp_path) == clean


def test_where_folder_and_file_disagree_the_folder_is_trusted_and_it_is_said(tmp_path):
    folder = add_piece(tmp_path, "15_Surprise_tpt_tpt_tbn")
    (folder / "AuSep_3_tbn_15_Surprise.wav").rename(folder / "AuSep_3_tpt_15_Surprise.wav")  # as published
    (track,), remarks = urmp_tracks(tmp_path)
    assert track.parts[2] == SourcePart(3, "tbn", folder / "AuSep_3_tpt_15_Surprise.wav")
    assert remarks == ["AuSep_3_tpt_15_Surprise.wav says tpt; its folder says tbn, which is taken"]


def test_stems_may_be_flac(tmp_path):
    folder = add_piece(tmp_path, "01_Jupiter_vn_vc")
    for file in folder.glob("AuSep_*"):
        file.rename(file.with_suffix(".flac"))
    (track,), _ = urmp_tracks(tmp_path)
    assert [part.path.name for part in track.parts] == ["AuSep_1_vn_01_Jupiter.flac", "AuSep_2_vc_01_Jupiter.flac"]


# ---------------------------------------------------------------- splits


def test_the_default_splits_keep_a_title_whole_and_have_every_instrument_in_train_and_test(tmp_path):
    for name in URMP:
        add_piece(tmp_path, name)
    splits, instruments = defaultdict(set), defaultdict(set)
    for track in urmp_tracks(tmp_path)[0]:
        title = track.name.split("_")[1]
        assert track.group == title
        splits[title].add(track.split)
        instruments[track.split] |= {part.instrument for part in track.parts}
    assert [title for title, found in splits.items() if len(found) > 1] == []
    assert instruments.keys() == {"train", "validation", "test"}
    assert instruments["train"] == instruments["test"] == set(INSTRUMENTS) and len(INSTRUMENTS) == 13


def test_metadata_gives_splits_and_groups_where_it_has_a_row(tmp_path):
    for name in URMP[:3]:
        add_piece(tmp_path, name)
    rows = [
        {"piece": "01_Jupiter_vn_vc", "group": "planets", "bank": "b", "split": "test_unseen_bank", "seed": 7},
        {"piece": "02_Sonata_vn_vn", "group": 12, "split": "validation"},
    ]
    (tmp_path / "metadata.json").write_text(json.dumps(rows))
    tracks, _ = urmp_tracks(tmp_path)
    assert [(track.split, track.group) for track in tracks] == [
        ("test_unseen_bank", "planets"),
        ("validation", "12"),
        ("validation", "Dance"),
    ]


@pytest.mark.parametrize(
    "damaged", [b'[{"piece": "01_', b"", b'{"piece": 1}', b"[7]", b'[{"split": "test"}]', b"\xff\xfe"]
)
def test_damaged_metadata_is_one_line(tmp_path, damaged):
    add_piece(tmp_path, URMP[0])
    (tmp_path / "metadata.json").write_bytes(damaged)
    with pytest.raises(ValueError, match="metadata.json is no list of rows with a `piece`") as stop:
        urmp_tracks(tmp_path)
    assert "\n" not in str(stop.value)


@pytest.mark.parametrize(
    ("name", "test", "train_and_validation", "divided", "unheard"),
    [
        ("mt3", 9, 35, ["Spring"], "12_Spring_vn_vn_vc"),
        ("icassp2019", 11, 29, ["Fugue", "Nocturne", "Pirates", "Rondeau", "Surprise"], "16_Surprise_tpt_tpt_sax"),
    ],
)
def test_a_published_split_is_offered_with_a_warning(tmp_path, name, test, train_and_validation, divided, unheard):
    for piece in URMP:
        add_piece(tmp_path, piece)
    tracks, remarks = urmp_tracks(tmp_path, name)
    counts = Counter(track.split for track in tracks)
    assert counts["test"] == test and counts["train"] + counts["validation"] == train_and_validation
    sides = defaultdict(set)
    for track in tracks:
        sides[track.group].add(track.split == "test")
    assert sorted(title for title, found in sides.items() if len(found) == 2) == divided
    assert f"divides {len(divided)} composition(s) ({', '.join(divided)})" in remarks[0] and unheard in remarks[0]
    # What is taken out for validation is whole compositions.
    for track in tracks:
        if track.split == "validation":
            assert {other.split for other in tracks if other.group == track.group} == {"validation"}
    assert counts["validation"] >= 4


def test_published_splits_are_the_pieces_of_the_papers(tmp_path):
    for piece in URMP:
        add_piece(tmp_path, piece)
    found = {name: urmp_tracks(tmp_path, name) for name in ("mt3", "icassp2019")}
    test = {
        name: [int(track.name[:2]) for track in tracks if track.split == "test"] for name, (tracks, _) in found.items()
    }
    assert test == {"mt3": [1, 2, 12, 13, 24, 25, 31, 38, 39], "icassp2019": [1, 9, 13, 16, 18, 24, 28, 31, 35, 42, 44]}
    # 40 pieces, as the paper says: those of one instrument alone are in neither half.
    tracks, remarks = found["icassp2019"]
    assert {track.name for track in tracks} == {piece for piece in URMP if len(set(piece.split("_")[2:])) > 1}
    assert "leaves out 02_Sonata_vn_vn, 04_Allegro_fl_fl, 05_Entertainer_tpt_tpt, 06_Entertainer_sax_sax" in remarks[1]
    # All instruments in the training half, as its author remembers:
    heard = {part.instrument for track in tracks if track.split != "test" for part in track.parts}
    assert heard == set(INSTRUMENTS)


def test_a_published_split_of_a_folder_with_splits_of_its_own_is_refused(tmp_path):
    add_piece(tmp_path, URMP[0])
    (tmp_path / "metadata.json").write_text(json.dumps([{"piece": URMP[0], "split": "train"}]))
    with pytest.raises(ValueError, match="metadata.json gives splits of its own; the split mt3"):
        urmp_tracks(tmp_path, "mt3")


# ---------------------------------------------------------------- what is wrong


def test_a_piece_without_its_recorded_mixture_is_told(tmp_path):
    folder = add_piece(tmp_path, "01_Jupiter_vn_vc")
    (folder / "AuMix_01_Jupiter_vn_vc.wav").rename(folder / "._AuMix_01_Jupiter_vn_vc.wav")
    [track], remarks = urmp_tracks(tmp_path)
    assert track.mixture is None
    assert remarks == ["01_Jupiter_vn_vc has no file AuMix_*; its mixture is the sum of its parts"]


def test_a_part_or_mixture_that_is_there_twice_is_a_fault(tmp_path):
    folder = add_piece(tmp_path, "01_Jupiter_vn_vc")
    for name in ("AuSep_2_vc_01_Jupiter", "AuMix_01_Jupiter_vn_vc"):
        (folder / f"{name}.flac").touch()
    with pytest.raises(ValueError) as stop:
        urmp_tracks(tmp_path)
    assert str(stop.value).split("\n") == [
        f"{folder}: {name}.flac and {name}.wav are one part; remove all but one"
        for name in ("AuSep_2_vc_01_Jupiter", "AuMix_01_Jupiter_vn_vc")
    ]


def test_every_fault_of_every_piece_is_a_line_that_names_it(tmp_path):
    for name in (*URMP[:4], "90_Strange_vn_kazoo", "91_Empty"):
        add_piece(tmp_path, name)
    for missing in ("01_Jupiter_vn_vc/AuSep_2_vc_01_Jupiter.wav", "04_Allegro_fl_fl/AuSep_1_fl_04_Allegro.wav"):
        (tmp_path / missing).unlink()
    with pytest.raises(ValueError) as stop:
        urmp_tracks(tmp_path)
    lines = str(stop.value).split("\n")
    expected = [
        r"01_Jupiter_vn_vc: part 2 \(vc\) has no file AuSep_2_\*",
        r"04_Allegro_fl_fl: part 1 \(fl\) has no file AuSep_1_\*",
        r"90_Strange_vn_kazoo: .* among bn, cl, db, .*Received: kazoo",
        r"91_Empty: expected NN_Title_inst_inst .*Received: none",
    ]
    assert len(lines) == 4 and all(re.search(*both) for both in zip(expected, lines, strict=True))


def test_a_part_is_missing_where_its_file_is_hidden_or_no_audio(tmp_path):
    folder = add_piece(tmp_path, "01_Jupiter_vn_vc")
    (folder / "AuSep_1_vn_01_Jupiter.wav").rename(folder / "._AuSep_1_vn_01_Jupiter.wav")
    (folder / "AuSep_2_vc_01_Jupiter.wav").rename(folder / "AuSep_2_vc_01_Jupiter.txt")
    with pytest.raises(ValueError, match=r"(?s)part 1 \(vn\).*part 2 \(vc\)"):
        urmp_tracks(tmp_path)


def test_a_stem_that_the_folder_does_not_name_is_a_fault(tmp_path):
    """Left out, it would be missing from every mixture."""
    folder = add_piece(tmp_path, "01_Jupiter_vn_vc")
    (folder / "AuSep_3_db_01_Jupiter.wav").touch()
    with pytest.raises(ValueError, match="01_Jupiter_vn_vc: .*AuSep_3_db_01_Jupiter.wav"):
        urmp_tracks(tmp_path)


@pytest.mark.parametrize(
    ("make", "line"),
    [
        (lambda root: None, "no such folder: .*nowhere"),
        (Path.touch, "no such folder: .*nowhere"),
        (Path.mkdir, "nowhere holds no piece .*01_Jupiter_vn_vc"),
        (lambda root: (root / "Dataset" / "01_Jupiter_vn_vc").mkdir(parents=True), "nowhere holds no piece"),
    ],
)
def test_a_folder_without_pieces_is_one_line(tmp_path, make, line):
    make(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match=line) as stop:
        urmp_tracks(tmp_path / "nowhere")
    assert "\n" not in str(stop.value)


# ---------------------------------------------------------------- the whole way


def test_the_command_prepares_the_published_form_and_says_how_to_train(tmp_path, capsys):
    """48 kHz, 24 bits, mono; the erratum; a mixture that is the sum but for what a room and a limiter make of it."""
    names = (
        "01_Jupiter_vn_vc",
        "03_Dance_fl_cl",
        "15_Surprise_tpt_tpt_tbn",
        "44_K515_vn_vn_va_va_vc",
        "31_Slavonic_tpt_hn",
    )
    for number, name in enumerate(names):
        folder = add_piece(tmp_path / "in", name)
        random = np.random.default_rng(number)
        stems = sorted(folder.glob("AuSep_*"))
        parts = 0.05 * random.standard_normal((len(stems), 48_000))
        for path, part in zip(stems, parts, strict=True):
            soundfile.write(path, part, 48_000, subtype="PCM_24")
        added = random.standard_normal(48_000) * parts.sum(axis=0).std() * 10 ** (-31 / 20)
        soundfile.write(folder / f"AuMix_{name}.wav", parts.sum(axis=0) + added, 48_000, subtype="PCM_24")
    surprise = tmp_path / "in" / names[2]
    (surprise / "AuSep_3_tbn_15_Surprise.wav").rename(surprise / "AuSep_3_tpt_15_Surprise.wav")
    add_clutter(tmp_path / "in")
    out = tmp_path / "out"
    Prepare.main(["urmp", str(tmp_path / "in"), str(out), "--splits", "icassp2019", "--workers", "1"])
    said = capsys.readouterr().out
    splits = {track.name: track.split for track in Prepared(out).manifest.tracks}
    assert [splits[name] for name in names] == ["test", "validation", "train", "test", "test"]
    assert sorted(path.name for path in (out / names[2]).iterdir()) == [
        "0_mixture.wav",
        "1_tpt.wav",
        "2_tpt.wav",
        "3_tbn.wav",
    ]
    assert "note: AuSep_3_tpt_15_Surprise.wav says tpt; its folder says tbn, which is taken\n" in said
    assert re.search(r"note: 5 recorded mixtures differ .*: -31.\d dB in the median, -3[01].\d dB at most \(", said)
    keys = f"data.prepared={out} data.sample_rate_hz=22050 data.channels=1 data.sources=cl,fl,hn,tbn,tpt,va,vc,vn\n"
    assert said.endswith(f"train on it: python Training.py with urmp {keys}")
