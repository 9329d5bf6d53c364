"""One track's scores: tidy rows, museval's json, and the files that keep both."""

import json
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from .bss_eval import bss_eval
from .files import whole_file
from .sdr import framewise_sdr, leakage_db, pes_db, si_sdr, usdr
from .signals import Array, checked_mixture, checked_pair, sounding_sources
from .spectral import log_spectral_distance_db

Choice = Literal["cheap", "all"]

COLUMNS = ("track", "source", "method", "metric", "time", "value")
METHODS = ("estimate", "mixture", "silence")
CHEAP_METRICS = ("SDR", "uSDR", "SI-SDR", "SI-SDRi", "leakage", "PES")
COSTLY_METRICS = ("ISR", "SIR", "SAR", "LSD")
MUSEVAL_METRICS = ("SDR", "SIR", "SAR", "ISR")
FRAME_SECONDS = 1.0


def score_track(
    name: str,
    references: ArrayLike,
    estimates: ArrayLike,
    mixture: ArrayLike,
    sources: Sequence[str],
    sample_rate_hz: float,
    metrics: Choice = "cheap",
) -> pd.DataFrame:
    """Scores of one track: of its estimates, and beside them of the mixture and of silence taken as estimates.

    A source that sounds in the track gets SDR (one row a frame of 1 s, mask "per_source"), uSDR, SI-SDR and SI-SDRi
    (the estimate's SI-SDR minus the mixture's). A source that is absent has none of these; it gets leakage. Silence
    has SDR and uSDR only, 0 dB by definition. A mixture that already is the source scores +inf (see `summarise` for
    such trivial pairs of track and source). A source that is silent in a frame, or absent, gets PES (one row a frame).

    "all" adds ISR, SIR and SAR of BSS Eval v4 (one row a frame, as `bss_eval` with the mask "per_source") and the
    log-spectral distance LSD, for the estimates and for the mixture. It takes many times as long.

    Args:
        name: the track's name, as it appears in the rows and in file names.
        references: true sources (T, S, C).
        estimates: estimated sources (T, S, C), in the references' order.
        mixture: what was separated (T, C).
        sources: the S names.
        sample_rate_hz: sample rate of all signals.
        metrics: "cheap" for `CHEAP_METRICS`, "all" for `COSTLY_METRICS` too.

    Returns:
        Rows with the columns track, source, method (one of `METHODS`), metric, time (the frame's start in seconds; NaN
        for numbers of the whole track) and value (dB).

    Raises:
        ValueError: shapes that do not fit, NaN or infinity in the input, names missing or doubled, a track too short
            for `bss_eval`; with the track's name.
    """
    try:
        if metrics not in get_args(Choice):
            raise ValueError(f"metrics: expected one of {', '.join(get_args(Choice))}; received {metrics!r}")
        rows = _rows(references, estimates, mixture, list(sources), sample_rate_hz)
        if metrics == "all":
            costly = _costly(name, references, estimates, mixture, np.array(sources), sample_rate_hz)
            rows = pd.concat([rows, *costly], ignore_index=True)
    except ValueError as error:
        raise ValueError(f"track {name}: {error}") from None
    return rows.assign(track=name)[list(COLUMNS)]


def museval_json(rows: pd.DataFrame, track: str) -> dict[str, Any]:
    """The estimates' framewise scores of one track in the form that museval 0.4.1 writes and its EvalStore reads.

    Five decimals; NaN and infinity become NaN. ISR, SIR and SAR are NaN unless the rows hold them (metrics "all").

    Args:
        rows: rows of `score_track`, of any number of tracks.
        track: the track wanted.

    Raises:
        ValueError: the rows hold no such track.
    """
    if track not in set(rows["track"]):
        raise ValueError(f"track {track!r}: not among the scores; they hold {', '.join(sorted(set(rows['track'])))}")
    wanted = (rows["track"] == track) & (rows["method"] == "estimate") & rows["metric"].isin(MUSEVAL_METRICS)
    targets = [
        {"name": source, "frames": [_museval_frame(frame) for _, frame in group.groupby("time", sort=False)]}
        for source, group in rows[wanted].groupby("source", sort=False)
    ]
    return {"targets": targets, "museval_version": "0.4.1"}


def write_track_scores(rows: pd.DataFrame, folder: str | Path) -> None:
    """Write one track's rows to `<folder>/<track>.json` (museval's form) and `<folder>/<track>.csv` (all of them).

    Each file is whole or absent, and the csv comes last: where it lies, the track is done. museval's
    `EvalStore.add_eval_dir(PATH)` finds the json files that lie anywhere below `PATH/test`.

    Raises:
        ValueError: rows of several tracks, of none, or a track name that cannot be a file's.
        OSError: the folder cannot be written.
    """
    tracks = list(rows["track"].unique())
    if len(tracks) != 1:
        raise ValueError(f"rows: expected those of one track; received those of {len(tracks)}")
    track = tracks[0]
    if not track or Path(track).name != track:
        raise ValueError(f"track {track!r}: expected a name that a file can have, without folders")
    with whole_file(Path(folder, f"{track}.json")) as path:
        path.write_text(json.dumps(museval_json(rows, track), indent=2), encoding="utf-8")
    with whole_file(Path(folder, f"{track}.csv")) as path:
        rows.to_csv(path, index=False)


def read_scores(paths: Iterable[str | Path]) -> pd.DataFrame:
    """The rows of all csv files that `write_track_scores` wrote, exactly as they were.

    Raises:
        ValueError: no file, or one that does not hold such rows.
    """
    tables = [_read_csv(path) for path in paths]
    if not tables:
        raise ValueError("scores: expected at least one csv file; received none")
    return pd.concat(tables, ignore_index=True)


def _rows(
    references: ArrayLike, estimates: ArrayLike, mixture: ArrayLike, sources: list[str], sample_rate_hz: float
) -> pd.DataFrame:
    references, estimates = checked_pair(references, estimates)
    mixture = checked_mixture(mixture, references)
    sounding = sounding_sources(references)
    if len(sources) != len(sounding) or len(set(sources)) != len(sources):
        raise ValueError(f"sources: expected {len(sounding)} different names; received {', '.join(sources)}")
    names = np.array(sources)
    tables = []
    if sounding.any():
        active, guesses = (np.compress(sounding, signals, axis=1) for signals in (references, estimates))
        tables += _ratios(active, guesses, mixture, names[sounding], sample_rate_hz)
    if not sounding.all():
        leakage = leakage_db(np.compress(~sounding, estimates, axis=1), mixture)
        tables.append(_table("estimate", "leakage", names[~sounding], leakage))
    pes = pes_db(references, estimates, sample_rate_hz, FRAME_SECONDS, FRAME_SECONDS)
    resting = ~np.isnan(pes).all(axis=1)
    if resting.any():
        tables.append(_table("estimate", "PES", names[resting], pes[resting]))
    return pd.concat(tables, ignore_index=True)


def _ratios(
    references: Array, estimates: Array, mixture: Array, sources: Array, sample_rate_hz: float
) -> list[pd.DataFrame]:
    """Tables of all ratios between references and what each method gives for them."""
    tables = []
    guesses = {
        "estimate": estimates,
        "mixture": np.broadcast_to(mixture[:, np.newaxis], references.shape),
        "silence": np.broadcast_to(0.0, references.shape),
    }
    for method, guess in guesses.items():
        sdr = framewise_sdr(references, guess, sample_rate_hz, FRAME_SECONDS, FRAME_SECONDS)
        tables += [_table(method, "SDR", sources, sdr), _table(method, "uSDR", sources, usdr(references, guess))]
    ratio = {method: si_sdr(references, guesses[method]) for method in ("estimate", "mixture")}
    tables += [_table(method, "SI-SDR", sources, values) for method, values in ratio.items()]
    with np.errstate(invalid="ignore"):
        improvement = ratio["estimate"] - ratio["mixture"]
    return [*tables, _table("estimate", "SI-SDRi", sources, improvement)]


def _costly(
    track: str, references: ArrayLike, estimates: ArrayLike, mixture: ArrayLike, sources: Array, sample_rate_hz: float
) -> list[pd.DataFrame]:
    """Tables of the metrics that take filters or spectra, for the sources that sound."""
    references, estimates = checked_pair(references, estimates)
    sounding = sounding_sources(references)
    if not sounding.any():
        return []
    references, estimates = (np.compress(sounding, signals, axis=1) for signals in (references, estimates))
    of_mixture = np.broadcast_to(np.asarray(mixture)[:, np.newaxis], references.shape)
    tables = []
    for method, guess in (("estimate", estimates), ("mixture", of_mixture)):
        scores = bss_eval(
            references, guess, sample_rate_hz, FRAME_SECONDS, FRAME_SECONDS, name=f"track {track}: references"
        )
        for metric, values in (("ISR", scores.isr), ("SIR", scores.sir), ("SAR", scores.sar)):
            tables.append(_table(method, metric, sources[sounding], values))
        tables.append(_table(method, "LSD", sources[sounding], log_spectral_distance_db(references, guess)))
    return tables


def _table(method: str, metric: str, sources: Array, values: Array) -> pd.DataFrame:
    """Rows of one metric: values (S,) of the whole track, or (S, F) framewise."""
    frames = values.shape[1] if values.ndim == 2 else 1
    start_seconds = np.arange(frames) * FRAME_SECONDS if values.ndim == 2 else [math.nan]
    return pd.DataFrame({
        "source": np.repeat(sources, frames),
        "method": method,
        "metric": metric,
        "time": np.tile(start_seconds, len(sources)),
        "value": values.ravel(),
    })  # fmt: skip


def _museval_frame(rows: pd.DataFrame) -> dict[str, Any]:
    values = dict(zip(rows["metric"], rows["value"], strict=True))
    numbers = {name: values.get(name, math.nan) for name in MUSEVAL_METRICS}
    metrics = {name: round(number, 5) if math.isfinite(number) else math.nan for name, number in numbers.items()}
    return {"time": float(rows["time"].iloc[0]), "duration": FRAME_SECONDS, "metrics": metrics}


def _read_csv(path: str | Path) -> pd.DataFrame:
    try:
        # All as text first: a track may be called 007 and a source NA, and Python's own float() reads every digit.
        rows = pd.read_csv(path, dtype=str, keep_default_na=False)
        if tuple(rows.columns) != COLUMNS:
            raise ValueError(f"expected the columns {', '.join(COLUMNS)}; received {', '.join(rows.columns)}")
        return rows.assign(time=_numbers(rows["time"]), value=_numbers(rows["value"]))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def _numbers(texts: pd.Series) -> Array:
    return np.array([float(text or "nan") for text in texts])
