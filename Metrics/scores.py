"""One track's scores: tidy rows, museval's json, and the files that keep both."""

import json
import math
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

from Files import require_name

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from .bss_eval import bss_eval
from .oracles import ORACLES, oracle_estimates
from .sdr import TrackRatios, leakage_db, pes_at, track_ratios
from .signals import Array, checked_mixture, checked_pair, frames_of, of_sources, sounding_sources
from .spectral import log_spectral_distance_db

Choice = Literal["cheap", "all"]

COLUMNS = ("run", "track", "source", "method", "metric", "time", "value")
METHODS = ("estimate", "mixture", "silence", *ORACLES)
CHEAP_METRICS = ("SDR", "uSDR", "SI-SDR", "SI-SDRi", "leakage", "PES")
COSTLY_METRICS = ("ISR", "SIR", "SAR", "LSD")
MUSEVAL_METRICS = ("SDR", "SIR", "SAR", "ISR")
FRAME_SECONDS = 1.0


def score_track(
    name: str,
    references: ArrayLike,
    estimates: ArrayLike,
    mixture: ArrayLike | None,
    sources: Sequence[str],
    sample_rate_hz: float,
    metrics: Choice = "cheap",
    oracles: Sequence[str] = (),
    run: str = "",
) -> pd.DataFrame:
    """Scores of one track: of its estimates, and beside them of the mixture, of silence and of oracles.

    A source that sounds in the track gets SDR (one row a frame of 1 s, mask "per_source"), uSDR, SI-SDR and SI-SDRi
    (the estimate's SI-SDR minus the mixture's). A source that is absent has none of these; it gets leakage. Silence
    has SDR and uSDR only, 0 dB by definition. A mixture that already is the source scores +inf (see `summarise` for
    such trivial pairs of track and source). A source that is silent in a frame, or absent, gets PES (one row a frame).

    An oracle (`oracle_estimates`) has SDR, uSDR and SI-SDR as the estimate has.

    "all" adds ISR, SIR and SAR of BSS Eval v4 (one row a frame, as `bss_eval` with the mask "per_source") and the
    log-spectral distance LSD, for all of these but silence. It takes many times as long.

    Args:
        name: the track's name, as it appears in the rows and in file names.
        references: true sources (T, S, C).
        estimates: estimated sources (T, S, C), in the references' order.
        mixture: what was separated (T, C); None where it is not known: then it has no scores, and there is neither an
            improvement over it nor leakage.
        sources: the S names.
        sample_rate_hz: sample rate of all signals.
        metrics: "cheap" for `CHEAP_METRICS`, "all" for `COSTLY_METRICS` too.
        oracles: which of `ORACLES` to score beside the estimates.
        run: what made the estimates, as it appears in the rows.

    Returns:
        Rows with the columns run, track, source, method (one of `METHODS`), metric, time (the frame's start in seconds;
        NaN for numbers of the whole track) and value (dB).

    Raises:
        ValueError: shapes that do not fit, NaN or infinity in the input, names missing or doubled, an unknown oracle or
            one without a mixture, a track too short for `bss_eval`; with the track's name.
    """
    try:
        if metrics not in get_args(Choice):
            raise ValueError(f"metrics: expected one of {', '.join(get_args(Choice))}; received {metrics!r}")
        tables = _tables(name, references, estimates, mixture, list(sources), sample_rate_hz, metrics, oracles)
    except ValueError as error:
        raise ValueError(f"track {name}: {error}") from None
    return pd.concat(tables, ignore_index=True).assign(run=run, track=name)[list(COLUMNS)]


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

    museval's `EvalStore.add_eval_dir(PATH)` finds the json files that lie anywhere below `PATH/test`.

    Raises:
        ValueError: rows of several tracks, of none, or a track name that cannot be a file's.
        OSError: the folder cannot be written.
    """
    tracks = list(rows["track"].unique())
    if len(tracks) != 1:
        raise ValueError(f"rows: expected those of one track; received those of {len(tracks)}")
    track = tracks[0]
    require_name(track, "a track")
    Path(folder).mkdir(parents=True, exist_ok=True)
    Path(folder, f"{track}.json").write_text(json.dumps(museval_json(rows, track), indent=2), encoding="utf-8")
    rows.to_csv(Path(folder, f"{track}.csv"), index=False)


def read_scores(paths: Iterable[str | Path]) -> pd.DataFrame:
    """The rows of all files that `write_track_scores` wrote: of csv files exactly as they were.

    Of a json file in museval's form, anybody's, they are the estimates' framewise metrics; the track is named like the
    file and the run like the folder that holds it.

    Raises:
        ValueError: no file, or one that does not hold such rows.
    """
    tables = [_read_json(Path(path)) if Path(path).suffix == ".json" else _read_csv(path) for path in paths]
    if not tables:
        raise ValueError("scores: expected at least one csv or json file; received none")
    return pd.concat(tables, ignore_index=True)


def _tables(
    track: str,
    references: ArrayLike,
    estimates: ArrayLike,
    mixture: ArrayLike | None,
    sources: list[str],
    sample_rate_hz: float,
    metrics: Choice,
    oracles: Sequence[str],
) -> list[pd.DataFrame]:
    references, estimates = checked_pair(references, estimates)
    if mixture is not None:
        mixture = checked_mixture(mixture, references)
    elif oracles:
        raise ValueError(f"oracles: expected a mixture for {', '.join(oracles)}, which mask it; received none")
    sounding = sounding_sources(references)
    if len(sources) != len(sounding) or len(set(sources)) != len(sources):
        raise ValueError(f"sources: expected {len(sounding)} different names; received {', '.join(sources)}")
    names = np.array(sources)
    tables: list[pd.DataFrame] = []
    frames = frames_of(len(references), sample_rate_hz, FRAME_SECONDS, FRAME_SECONDS)
    resting = np.ones((len(sources), len(frames)), bool)
    if sounding.any():
        active, given = (of_sources(signals, sounding) for signals in (references, estimates))
        for method, guess in _guesses(given, mixture, active, oracles, sample_rate_hz):
            ratios = track_ratios(active, guess, sample_rate_hz)
            tables += _ratios(method, ratios, names[sounding])
            if metrics == "all":
                tables += _costly(track, method, active, guess, names[sounding], sample_rate_hz)
        resting[sounding] = np.isnan(ratios.sdr)
        tables += _silence(resting[sounding], names[sounding])
        if mixture is not None:
            tables.append(_improvement(tables))
    if mixture is not None and not sounding.all():
        leakage = leakage_db(of_sources(estimates, ~sounding), mixture)
        tables.append(_table("estimate", "leakage", names[~sounding], leakage))
    if resting.any():
        rests = resting.any(axis=1)
        tables.append(_table("estimate", "PES", names[rests], pes_at(resting, estimates, frames)[rests]))
    return tables


def _guesses(
    estimates: Array, mixture: Array | None, references: Array, oracles: Sequence[str], sample_rate_hz: float
) -> Iterator[tuple[str, Array]]:
    """Methods and what each takes the sources for, in turn: each is as large as the track."""
    yield "estimate", estimates
    if mixture is not None:
        yield "mixture", np.broadcast_to(mixture[:, np.newaxis], references.shape)
        for oracle in oracles:
            yield oracle, oracle_estimates(oracle, mixture, references, sample_rate_hz)


def _ratios(method: str, ratios: TrackRatios, sources: Array) -> Iterator[pd.DataFrame]:
    """Tables of the ratios between references and what a method gives for them."""
    yield _table(method, "SDR", sources, ratios.sdr)
    yield _table(method, "uSDR", sources, ratios.usdr)
    yield _table(method, "SI-SDR", sources, ratios.si_sdr)


def _silence(resting: NDArray[np.bool_], sources: Array) -> Iterator[pd.DataFrame]:
    """Tables of silence as the estimate of sources that sound: 0 dB by definition."""
    yield _table("silence", "SDR", sources, np.where(resting, np.nan, 0.0))
    yield _table("silence", "uSDR", sources, np.zeros(len(sources)))


def _improvement(tables: Iterable[pd.DataFrame]) -> pd.DataFrame:
    """The estimate's SI-SDR minus the mixture's."""
    rows = pd.concat(tables, ignore_index=True)
    estimate, mixture = (
        rows[(rows["metric"] == "SI-SDR") & (rows["method"] == method)].reset_index(drop=True)
        for method in ("estimate", "mixture")
    )
    with np.errstate(invalid="ignore"):
        return estimate.assign(metric="SI-SDRi", value=estimate["value"] - mixture["value"])


def _costly(
    track: str, method: str, references: Array, guess: Array, sources: Array, sample_rate_hz: float
) -> Iterator[pd.DataFrame]:
    """Tables of the metrics that take filters or spectra."""
    scores = bss_eval(
        references, guess, sample_rate_hz, FRAME_SECONDS, FRAME_SECONDS, name=f"track {track}: references"
    )
    for metric, values in (("ISR", scores.isr), ("SIR", scores.sir), ("SAR", scores.sar)):
        yield _table(method, metric, sources, values)
    yield _table(method, "LSD", sources, log_spectral_distance_db(references, guess))


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


def _read_json(path: Path) -> pd.DataFrame:
    try:
        rows = [
            (
                require_name(target["name"], "a source"),
                metric,
                float(frame["time"]),
                math.nan if value is None else float(value),
            )
            for target in json.loads(path.read_text(encoding="utf-8"))["targets"]
            for frame in target["frames"]
            for metric, value in frame["metrics"].items()
        ]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path}: expected the scores of a track in museval's form ({error!r})") from None
    table = pd.DataFrame(rows, columns=["source", "metric", "time", "value"])
    return table.assign(run=path.parent.name, track=path.stem, method="estimate")[list(COLUMNS)]


def _numbers(texts: pd.Series) -> Array:
    return np.array([float(text or "nan") for text in texts])
