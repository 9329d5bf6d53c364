"""The embedded data set: real scores, played by sampled instruments, in the layout of URMP.

The way of a piece, one module a step:
    splits       line-up, split and bank of every piece; the scores that each split may use
    plan         the passage of a score and the tempo of every piece, in one deterministic pass
    scores       the pool of scores; fitting their lines to the instruments' ranges
    performance  written notes -> played notes: time, articulation, dynamics, intonation, vibrato
    bank         recorded notes, made even in pitch and level, and endless
    sampler      played notes -> the dry sound of a part
    room         dry parts -> parts in a room, as 16-bit samples that sum to the mixture
    urmp_folder  a piece's files
    render       all of it, in parallel, resumable

The music and the notes are in `Actions/rendering/demo_pack`; a data set built from them carries their LICENSES.md.
"""

from .render import render_dataset

__all__ = ["render_dataset"]
