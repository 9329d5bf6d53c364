"""A rendered piece on disk, in the layout of URMP."""

from collections.abc import Sequence
from pathlib import Path

from Files import Output
from Input.instruments import INSTRUMENTS
from Input.writers import wav_writer

import mido
import numpy as np

from .performance import PlayedNote
from .scores import Line

F0_HOP_SECONDS = 0.01
TICKS_PER_QUARTER = 480


def folder_name(number: str, title: str, lineup: Sequence[str]) -> str:
    """`01_Jupiter_vn_vc`."""
    return "_".join((number, title, *lineup))


def part_name(index: int, instrument: str, number: str, title: str) -> str:
    """`1_vn_01_Jupiter`: the index counts from 1."""
    return f"{index}_{instrument}_{number}_{title}"


def piece_files(piece: str, part_names: Sequence[str]) -> list[str]:
    """The files of a piece, relative to the data set."""
    parts = [file for name in part_names for file in (f"AuSep_{name}.wav", f"F0s_{name}.txt", f"Notes_{name}.txt")]
    return [f"{piece}/{file}" for file in (f"AuMix_{piece}.wav", *parts, f"Sco_{piece}.mid")]


def write_piece(
    output: Output,
    piece: str,
    part_names: Sequence[str],
    audio: Sequence[np.ndarray],
    notes: Sequence[Sequence[PlayedNote]],
    score: mido.MidiFile,
    sample_rate_hz: int,
) -> None:
    """Writes every file of a piece into the folder of its name, when all are made."""
    mixture = np.stack(audio).sum(axis=0, dtype=np.int32).astype(np.int16)
    with output.folder(piece) as partial:
        _write_wav(partial / f"AuMix_{piece}.wav", mixture, sample_rate_hz)
        for name, part, played in zip(part_names, audio, notes, strict=True):
            _write_wav(partial / f"AuSep_{name}.wav", part, sample_rate_hz)
            _write_table(partial / f"F0s_{name}.txt", f0_rows(played, len(part) / sample_rate_hz), "%.3f\t%.3f")
            _write_table(partial / f"Notes_{name}.txt", note_rows(played), "%.4f\t%.3f\t%.4f")
        score.save(partial / f"Sco_{piece}.mid")


def f0_rows(notes: Sequence[PlayedNote], seconds: float) -> np.ndarray:
    """Rows (frames, 2) of time in seconds and played pitch in Hz, 0 where no note is held."""
    times = F0_HOP_SECONDS * np.arange(int(seconds / F0_HOP_SECONDS + 1e-6))
    pitches_hz = np.zeros(len(times))
    for note in notes:
        held = (times >= note.onset_seconds) & (times < note.offset_seconds)
        pitches_hz[held] = _hz(note, times[held] - note.onset_seconds)
    return np.stack([times, pitches_hz], axis=1)


def note_rows(notes: Sequence[PlayedNote]) -> np.ndarray:
    """Rows (notes, 3) of onset in seconds, mean pitch in Hz and duration in seconds."""
    rows = []
    for note in notes:
        duration = note.offset_seconds - note.onset_seconds
        rows.append((note.onset_seconds, _hz(note, np.linspace(0, duration, 100)).mean(), duration))
    return np.array(rows)


def midi_score(lines: Sequence[Line], lineup: Sequence[str], tempo_bpm: float) -> mido.MidiFile:
    """The score as written, not aligned with the audio. Track 0 holds the tempo and track N is part N."""
    file = mido.MidiFile(ticks_per_beat=TICKS_PER_QUARTER)
    file.tracks.append(mido.MidiTrack([mido.MetaMessage("set_tempo", tempo=mido.bpm2tempo(tempo_bpm))]))
    for channel, (line, instrument) in enumerate(zip(lines, lineup, strict=True)):
        file.tracks.append(_midi_track(line, instrument, channel))
    return file


def _hz(note: PlayedNote, seconds: np.ndarray) -> np.ndarray:
    return 440 * 2 ** ((note.pitch - 69 + note.cents_at(seconds) / 100) / 12)


def _midi_track(line: Line, instrument: str, channel: int) -> mido.MidiTrack:
    track = mido.MidiTrack([mido.MetaMessage("track_name", name=instrument)])
    track.append(mido.Message("program_change", channel=channel, program=INSTRUMENTS[instrument].midi_program))
    events = []
    for note in line:
        begin = round(note.onset_quarters * TICKS_PER_QUARTER)
        end = round((note.onset_quarters + note.duration_quarters) * TICKS_PER_QUARTER)
        events += [(begin, note.velocity, note.pitch), (max(end, begin + 1), 0, note.pitch)]
    now = 0
    # Sorted by velocity within a tick, a note's end (velocity 0) comes before the next one's beginning.
    for tick, velocity, pitch in sorted(events):
        track.append(mido.Message("note_on", channel=channel, note=pitch, velocity=velocity, time=tick - now))
        now = tick
    return track


def _write_wav(path: Path, samples: np.ndarray, sample_rate_hz: int) -> None:
    with wav_writer(path, sample_rate_hz, channels=1, subtype="PCM_16") as file:
        file.write(samples)


def _write_table(path: Path, rows: np.ndarray, form: str) -> None:
    path.write_text("".join(form % tuple(row) + "\n" for row in rows))
