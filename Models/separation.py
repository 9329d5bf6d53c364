"""A track of any length through a separator, in constant memory."""

from collections.abc import Iterable, Iterator, Mapping

import keras
import numpy as np

from .lengths import Lengths

WINDOW_SAMPLES = 1 << 18  # long windows: little of the work is margin; longer ones gain little and need more memory


def separate(
    separator: keras.Model,
    lengths: Lengths,
    mixture: Iterable[np.ndarray],
    contexts: Mapping[str, np.ndarray] | None = None,
    *,
    samples: int | None = None,
    window_samples: int = WINDOW_SAMPLES,
) -> Iterator[np.ndarray]:
    """Separates a stream, window by window.

    Windows advance by multiples of the separator's decimation and take the margins before and after them. A separator
    without padding then gives what one forward pass over the whole track gives, wherever it is cut. One with padding
    takes windows of the length that it was trained for; they overlap and are cross-faded. Before and after the track is
    silence. Nothing depends on how the stream comes in blocks.

    Args:
        separator: a model of this floor.
        lengths: its lengths.
        mixture: consecutive blocks (t, C) of any lengths, linear amplitude. A mono separator takes any number of
            channels and separates each on its own; one of more channels is given a mono mixture on all of them.
        contexts: what the separator receives beside the mixture, by name, such as {"labels": (S,)}; more than it
            receives is passed over. What moves in time, (F, D) or (S, F, D), spans the track: its F frames divide it
            evenly.
        samples: the length of the track where it is known: a short one is not padded to a whole window.
        window_samples: sources of one window, about: the larger, the faster and the more memory.

    Yields:
        Consecutive blocks of sources (t, S, C), float32, as many samples in all as the mixture has.

    Raises:
        ValueError: if the separator needs a context that there is not, or more channels than there are, or the length
            of the track is not known and a context moves in time.
    """
    wanted, known = [name for name in separator.input if name != "mixture"], contexts or {}
    if missing := [name for name in wanted if name not in known]:
        raise ValueError(
            f"this separator is conditioned: expected {', '.join(missing)}. Received: {', '.join(known) or 'none'}"
        )
    given = {name: known[name] for name in wanted}
    moving = [name for name in wanted if known[name].ndim == (3 if "present" in wanted else 2)]
    if moving and samples is None:
        raise ValueError(f"expected the length of the track with {', '.join(moving)}, which move in time")
    overlap = lengths.overlap_samples
    hop = lengths.output_samples(1) - overlap if overlap else _hop(lengths, window_samples, samples or window_samples)
    window = lengths.input_samples(lengths.output_samples(hop + overlap))
    fade_in = ((np.arange(overlap, dtype=np.float32) + 0.5) / max(1, overlap))[:, None, None]
    fading: np.ndarray | None = None  # the window before's sources where this one begins
    received, pending = None, 0  # `pending` samples of the track are received and not yet separated
    first = -lengths.margin_samples  # where in the track the next window begins

    def separated(padded: np.ndarray) -> np.ndarray:
        nonlocal fading, first
        there = {name: _in_window(given[name], first, window, samples or 0) for name in moving}
        first += hop
        sources = _forward(separator, padded, {**given, **there})[: hop + overlap]
        if fading is not None:
            faded = fade_in * sources[:overlap] + (1 - fade_in) * fading
            sources = np.concatenate([faded, sources[overlap:]])
        fading = sources[hop:] if overlap else None
        return sources[:hop]

    for block in mixture:
        if received is None:
            received = np.zeros((lengths.margin_samples, block.shape[1]), np.float32)
        received = np.concatenate([received, block], dtype=np.float32)
        pending += len(block)
        while len(received) >= window:
            yield separated(received[:window])
            received, pending = received[hop:], pending - hop
    while received is not None and pending > 0:
        if fading is not None and pending <= overlap:  # the window before reaches the end of the track
            yield fading[:pending]
            break
        last = np.zeros((window, received.shape[1]), np.float32)
        last[: min(window, len(received))] = received[:window]
        yield separated(last)[:pending]
        received, pending = received[hop:], pending - hop


def _hop(lengths: Lengths, window_samples: int, samples: int) -> int:
    """How far windows advance: evenly over the track, so that the last is not half empty.

    Always a multiple of the decimation, and in coarse steps, because each new length has to be compiled.
    """
    step = _rounded_up(window_samples // 16, lengths.stride_samples)
    windows = -(-samples // _rounded_up(window_samples, step))
    return _rounded_up(-(-samples // windows), step)


def _rounded_up(samples: int, multiple: int) -> int:
    return max(1, -(-samples // multiple)) * multiple


def _in_window(context: np.ndarray, first: int, window: int, samples: int) -> np.ndarray:
    """Context (..., F, D) of a track of so many samples -> that of a window (..., F', D); zero outside of the track."""
    frames = context.shape[-2]
    count = max(1, round(frames * window / samples))
    middles = first + (np.arange(count) + 0.5) * (window / count)
    wanted = np.floor(middles * (frames / samples)).astype(int)
    inside = (wanted >= 0) & (wanted < frames)
    return np.take(context, wanted.clip(0, frames - 1), axis=-2) * inside[:, None].astype(context.dtype)


def _forward(separator: keras.Model, window: np.ndarray, contexts: Mapping[str, np.ndarray]) -> np.ndarray:
    """One window (t, C) -> sources (t, S, C): by a mono separator channel by channel, else all channels together."""
    channels = separator.input["mixture"].shape[-1]
    if channels == 1:
        batch = window.T[..., None]
    elif window.shape[1] in (1, channels):
        batch = np.broadcast_to(window, (len(window), channels))[None]
    else:
        raise ValueError(f"expected a mixture of 1 or {channels} channels. Received: {window.shape[1]} channels")
    repeated = {name: np.repeat(context[None], len(batch), axis=0) for name, context in contexts.items()}
    sources = np.asarray(separator.predict_on_batch({"mixture": np.ascontiguousarray(batch), **repeated}))
    if channels == 1:
        return np.moveaxis(sources[..., 0], 0, 2)
    return sources[0] if window.shape[1] == channels else sources[0].mean(axis=2, keepdims=True)
