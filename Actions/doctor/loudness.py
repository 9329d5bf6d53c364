"""What a part's samples say: in which seconds it plays, and where it reaches full scale."""

from collections.abc import Iterator

from Input.prepared import FULL_SCALE, Part, Prepared, Track

import numpy as np

FRAME_SECONDS = 1.0
PLAYING_DB = -60.0  # of full scale, the rms over a frame and all channels
FRAMES_PER_READ = 32


def playing_frames(prepared: Prepared, track: Track, part: Part) -> np.ndarray:
    """Whether the part plays in each frame: `(F,)`, bool. The last frame is as short as what is left."""
    frame = _frame_samples(prepared)
    plays = [np.zeros(0, bool)]
    for pcm in _blocks(prepared, track, part, FRAMES_PER_READ * frame):
        starts = np.arange(0, len(pcm), frame)
        squares = np.add.reduceat(np.square(pcm, dtype=np.float64).mean(axis=1), starts)
        plays.append(_loud(squares / np.diff(starts, append=len(pcm))))
    return np.concatenate(plays)


def ever_plays(prepared: Prepared, track: Track, part: Part) -> bool:
    """Whether the part plays in any frame. It looks here and there, so that a sound is soon found."""
    frame = _frame_samples(prepared)
    for moment in np.random.default_rng(0).permutation(np.arange(0, track.samples, frame)).tolist():
        pcm = prepared.read_pcm(part, moment, min(frame, track.samples - moment))
        if _loud(np.square(pcm, dtype=np.float64).mean()):
            return True
    return False


def full_scale_runs(prepared: Prepared, track: Track, part: Part) -> np.ndarray:
    """How many samples each run at full scale lasts, in any of the channels: `(R,)`; a clipped peak lasts several."""
    runs, unfinished = [np.zeros(0, np.int64)], 0
    for pcm in _blocks(prepared, track, part, FRAMES_PER_READ * _frame_samples(prepared)):
        full = np.abs(pcm.astype(np.int32)).max(axis=1) >= FULL_SCALE - 1
        lengths = _runs(full)
        if full[0]:
            lengths[0] += unfinished
        else:
            runs.append(np.array([unfinished]))
        unfinished = int(lengths[-1]) if full[-1] else 0
        runs.append(lengths[:-1] if full[-1] else lengths)
    found = np.append(np.concatenate(runs), unfinished)
    return found[found > 0]


def _runs(full: np.ndarray) -> np.ndarray:
    """The length of each run of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], full, [0]])))
    return edges[1::2] - edges[::2]


def _loud(mean_square: np.ndarray) -> np.ndarray:
    return mean_square > FULL_SCALE**2 * 10 ** (PLAYING_DB / 10)


def _frame_samples(prepared: Prepared) -> int:
    return round(FRAME_SECONDS * prepared.sample_rate_hz)


def _blocks(prepared: Prepared, track: Track, part: Part, samples: int) -> Iterator[np.ndarray]:
    for start in range(0, track.samples, samples):
        yield prepared.read_pcm(part, start, min(samples, track.samples - start))
