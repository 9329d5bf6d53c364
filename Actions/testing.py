"""A run and a split -> estimates, the loss, and clips to listen to."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import Config
import Metrics
import Runs
import Utils
from Actions.data import Clip, Tested, opened, sources_of
from Actions.run import Run
from Files import Output
from Input.prepared import Track
from Input.probes import context_of, probed
from Input.references import PreparedReferences
from Input.sources import Sources
from Input.stems import read_stems, write_clips, write_stems
from Models.lengths import Lengths
from Models.losses import per_example
from Models.separation import separate

import keras
import numpy as np

CLIP_SECONDS = 8


def test(config: Config.Test) -> Iterator[tuple[str, float, Path]]:
    """Separates every track of each split with the run's best weights, and again for each probe.

    Yields:
        The split (and probe), the mean of the run's loss over excerpts of the length it was trained on, as in its
        validation, and the folder of the estimates.

    Raises:
        FileNotFoundError, ValueError: if the run, its checkpoint, the data set or a split is missing, they do not
            belong together, or it is probed for a context that it does not receive.
        FileExistsError: if something that this program did not write is in the place of an estimate or a clip.
    """
    run = Run(config.run)
    data, loss = run.config.data, run.config.training.loss
    for context in map(context_of, config.probes):
        if context not in run.config.model.received:
            raise ValueError(
                f"the run {config.run} receives no {context} (model.contexts.{context}.method=none): there is nothing "
                "to probe"
            )
    excerpt_samples = run.lengths.output_samples(data.output_samples)
    prepared, wanted = opened(config.prepared or data.prepared, config.run), sources_of(data)
    output = Output(config.run)
    output.adopt(Runs.files_of_earlier_versions(run.folder))
    truths = {
        split: PreparedReferences(prepared, prepared.split(split, config.parts or data.parts)) for split in config.split
    }
    output.require_free(
        [name for split, truth in truths.items() for name in written(truth, wanted, split, config.probes)]
    )
    for split, truth in truths.items():
        names = [track.name for track in truth.tracks]
        known = [truth.contexts(track, wanted, run.config.model.received) for track in truth.tracks]
        for probe in ("", *config.probes):
            what = f"{split}, {probe}" if probe else split
            given = probed(probe, names, known) if probe else known
            out = Runs.estimates_dir(config.run, split, probe)
            below = Runs.estimates_dir("", split, probe).as_posix()
            # Estimates of other weights must not be taken for these; the sign that they are finished goes first.
            output.remove([f"{below}/{Runs.TESTED}"])
            output.remove(output.names(f"{below}/"))
            losses: list[float] = []
            ranking: dict[Track, float] = {}
            separating = Utils.progress(truth.tracks, unit="track", label=f"separating {what}")
            for track, contexts in zip(separating, given, strict=True):
                mixture, references, rate_hz = truth.read(track, wanted, config.mixture)
                estimates = separate_track(run.separator, run.lengths, mixture, contexts)
                with output.folder(f"{below}/{track.name}") as folder:
                    write_stems(folder, estimates, wanted.of(track), rate_hz)
                losses += excerpt_losses(loss, references, estimates, excerpt_samples)
                ranking[track] = improvement(references, estimates, mixture)
            if not probe:
                keep_clips(output, truth, ranking, wanted, config.mixture, split)
            mean = float(np.mean(losses))
            made = Tested(
                loss=loss,
                value=mean,
                excerpts=len(losses),
                checkpoint=run.checksum,
                mixture=config.mixture,
                tracks=tuple(names),
            )
            output.write_text(f"{below}/{Runs.TESTED}", Utils.json_text(made.model_dump()))
            yield what, mean, out


def written(truth: PreparedReferences, wanted: Sources, split: str, probes: Sequence[str]) -> Iterator[str]:
    """The files that a split may get, relative to the run."""
    for probe in ("", *probes):
        folder = Runs.estimates_dir("", split, probe).as_posix()
        yield f"{folder}/{Runs.TESTED}"
        yield from (f"{folder}/{track.name}/{source}.wav" for track in truth.tracks for source in wanted.of(track))
    clips = Runs.listening_dir("", split).as_posix()
    sources = dict.fromkeys(source for track in truth.tracks for source in wanted.of(track))
    kinds = ["mixture", *(f"{source}.{kind}" for source in sources for kind in ("reference", "estimate"))]
    yield f"{clips}/{Runs.CLIPS}"
    yield from (f"{clips}/{rank}/{kind}.flac" for rank in Runs.RANKS for kind in kinds)


def separate_track(
    separator: keras.Model, lengths: Lengths, mixture: np.ndarray, contexts: Mapping[str, np.ndarray]
) -> np.ndarray:
    """A whole mixture (T, C) -> estimates (T, S, C)."""
    return np.concatenate(list(separate(separator, lengths, [mixture], contexts, samples=len(mixture))))


def excerpt_losses(expression: str, references: np.ndarray, estimates: np.ndarray, samples: int) -> list[float]:
    """The loss of each consecutive excerpt of so many samples of a track (T, S, C); the last is padded by silence."""
    losses = []
    for start in range(0, len(references), samples):
        excerpt = np.zeros((2, samples, *references.shape[1:]), np.float32)
        for padded, signal in zip(excerpt, (references, estimates), strict=True):
            padded[: len(signal) - start] = signal[start : start + samples]
        losses.append(float(per_example(expression, {"sources": excerpt[:1]}, {"sources": excerpt[1:]})[0]))
    return losses


def improvement(references: np.ndarray, estimates: np.ndarray, mixture: np.ndarray) -> float:
    """The mean SI-SDR improvement over the mixture, in dB, of a track's sources; -inf where one is missed altogether.

    NaN where the mixture already is the source, and nothing is separated.
    """
    own = Metrics.si_sdr(references, estimates)
    of_mixture = Metrics.si_sdr(references, np.broadcast_to(mixture[:, np.newaxis], references.shape))
    counted = of_mixture < Metrics.TRIVIAL_DB  # NaN, a source that is absent, is not
    return float(np.mean(own[counted] - of_mixture[counted])) if counted.any() else np.nan


def keep_clips(
    output: Output,
    truth: PreparedReferences,
    ranking: dict[Track, float],
    wanted: Sources,
    mixture: str,
    split: str,
) -> None:
    """Keeps some seconds of the best, the median and the worst track of a run's split, for people to listen to.

    RUN/listening/<split>/<rank>/ gets mixture.flac, and for each source that plays <source>.reference.flac and
    <source>.estimate.flac.
    """
    out = Runs.listening_dir("", split).as_posix()
    output.remove(output.names(f"{out}/"))
    ranked = sorted((track for track in ranking if not np.isnan(ranking[track])), key=lambda track: -ranking[track])
    ranks: dict[Track, str] = {}
    for rank, place in (("best", 0), ("worst", -1), ("median", len(ranked) // 2)):
        if ranked:
            ranks.setdefault(ranked[place], rank)
    clips = []
    for track, rank in sorted(ranks.items(), key=lambda item: Runs.RANKS.index(item[1])):
        whole, references, rate_hz = truth.read(track, wanted, mixture)
        stems = output.root / Runs.estimates_dir("", split) / track.name
        names = wanted.of(track)
        estimates = read_stems(stems, names, rate_hz, whole.shape)
        excerpt = Metrics.liveliest(references, CLIP_SECONDS * rate_hz)
        signals = {"mixture": whole[excerpt]}
        for index in sorted(set(wanted.rows(track))):
            signals[f"{names[index]}.reference"] = references[excerpt, index]
            signals[f"{names[index]}.estimate"] = estimates[excerpt, index]
        with output.folder(f"{out}/{rank}") as folder:
            gain = write_clips(folder, signals, rate_hz)
        seconds = len(signals["mixture"]) / rate_hz
        clip = Clip(
            rank=rank,
            track=track.name,
            start_seconds=excerpt.start / rate_hz,
            seconds=seconds,
            gain=gain,
            si_sdri_db=ranking[track],
        )
        clips.append(clip.model_dump())
    output.write_text(f"{out}/{Runs.CLIPS}", Utils.json_text(clips))
