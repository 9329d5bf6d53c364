"""The thirteen instruments of URMP: what they are called, how far they reach and how they are played."""

from typing import NamedTuple


class Instrument(NamedTuple):
    """How one instrument is written and played.

    Pitches are MIDI note numbers (69 is A4). `vibrato_rate_hz` and `vibrato_depth_cents` (to one side) are the middle
    of what is drawn for a player; a depth of 0 stands for players who do not use it. `glide_cents` is how far below a
    note a slur arrives, and `legato` the share of unmarked notes that join the one before.
    """

    midi_program: int
    lowest_pitch: int
    highest_pitch: int
    vibrato_rate_hz: float
    vibrato_depth_cents: float
    glide_cents: float
    legato: float


INSTRUMENTS = {
    "bn": Instrument(70, 34, 72, 5.0, 7, 10, 0.30),
    "cl": Instrument(71, 50, 88, 5.0, 0, 10, 0.45),
    "db": Instrument(43, 28, 60, 5.0, 9, 25, 0.25),
    "fl": Instrument(73, 60, 94, 5.2, 14, 12, 0.40),
    "hn": Instrument(60, 38, 77, 5.0, 0, 15, 0.30),
    "ob": Instrument(68, 58, 88, 5.3, 10, 10, 0.40),
    "sax": Instrument(65, 49, 81, 5.2, 13, 15, 0.40),
    "tba": Instrument(58, 29, 60, 5.0, 0, 15, 0.20),
    "tbn": Instrument(57, 40, 70, 5.0, 4, 25, 0.20),
    "tpt": Instrument(56, 54, 82, 5.4, 6, 12, 0.25),
    "va": Instrument(41, 48, 84, 5.5, 18, 30, 0.45),
    "vc": Instrument(42, 36, 76, 5.3, 17, 30, 0.45),
    "vn": Instrument(40, 55, 96, 5.8, 20, 30, 0.45),
}
"""By URMP's names and in its order, which is that of the outputs of the original's model."""
