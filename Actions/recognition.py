"""Which classes play, the problem of networks that emit `playing`: tested, scored, and asked about a recording."""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import Config
import Metrics
import Runs
import Utils
from Actions.data import Tested, configuration_of, opened, read_json, require_same_weights, sources_of
from Actions.run import Run, probabilities_of
from Files import Output, sha256
from Input.audio import audio_blocks
from Input.references import PreparedReferences
from Models.losses import per_example, playing
from Models.recognition import recognise

import numpy as np
import pandas as pd

PROBABILITIES = "probabilities.csv"
RECOGNISED = "recognised.csv"
LISTED = 0.1  # less probable classes are not worth a word


def test(config: Config.Test) -> Iterator[tuple[str, float, Path]]:
    """Computes which classes play in each window of every track of each split, with the run's best weights.

    RUN/estimates/<split>/probabilities.csv gets a row a window and class.

    Yields:
        The split, the mean of the run's loss over windows, and the folder of the estimates.

    Raises:
        FileNotFoundError, ValueError: if the run, its checkpoint, the data set or a split is missing, they do not
            belong together, or probes are asked for.
        FileExistsError: if something that this program did not write is in the place of a file.
    """
    if config.probes:
        raise ValueError("probes are of a network's contexts. Received: a run that recognises, which has none")
    run = Run(config.run)
    data, loss = run.config.data, run.config.training.loss
    prepared, wanted, output = (
        opened(config.prepared or data.prepared, config.run),
        sources_of(data),
        Output(run.folder),
    )
    truths = {
        split: PreparedReferences(prepared, prepared.split(split, config.parts or data.parts)) for split in config.split
    }
    folders = {split: Runs.estimates_dir("", split).as_posix() for split in truths}
    output.require_free([f"{below}/{name}" for below in folders.values() for name in (PROBABILITIES, Runs.TESTED)])
    for split, truth in truths.items():
        below = folders[split]
        output.remove([f"{below}/{Runs.TESTED}"])  # the sign that estimates are finished goes first
        tables, losses = [], []
        for track in Utils.progress(truth.tracks, unit="track", label=f"recognising {split}"):
            mixture, references, rate_hz = truth.read(track, wanted, config.mixture)
            windows = list(recognise(run.recogniser, run.lengths, [mixture]))
            true = playing_in(references, [samples for _, samples in windows])
            for (probabilities, _), one in zip(windows, true, strict=True):
                losses.append(float(per_example(loss, {"playing": one[None]}, {"playing": probabilities[None]})[0]))
            seconds = np.array([samples for _, samples in windows]) / rate_hz
            table = pd.DataFrame([probabilities for probabilities, _ in windows], columns=list(wanted.names))
            table = table.assign(start_seconds=np.cumsum(seconds) - seconds, seconds=seconds, track=track.name)
            tables.append(
                table.melt(["track", "start_seconds", "seconds"], var_name="source", value_name="probability")
            )
        output.write_text(f"{below}/{PROBABILITIES}", pd.concat(tables).to_csv(index=False))
        made = Tested(
            loss=loss,
            value=float(np.mean(losses)),
            excerpts=len(losses),
            checkpoint=run.checksum,
            mixture=config.mixture,
            tracks=tuple(track.name for track in truth.tracks),
        )
        output.write_text(f"{below}/{Runs.TESTED}", Utils.json_text(made.model_dump()))
        yield split, float(np.mean(losses)), output.root / below


def evaluate(config: Config.Evaluate) -> Iterator[tuple[str, Path, str]]:
    """Scores the probabilities of each split: average precision, precision, recall and F1.

    SCORES/recognised.csv gets the probabilities beside the truth, summary.csv and summary.md the scores.

    Yields:
        The split, where the files are, and a table for a screen.

    Raises:
        FileNotFoundError, ValueError: if estimates are missing or of other weights, or what is asked for is of
            separation alone.
    """
    for key in ("probes", "oracles"):
        if getattr(config, key):
            raise ValueError(f"{key} are of separation. Received: {config.run}, a run that recognises")
    data, output = configuration_of(config.run).data, Output(config.out or config.run)
    prepared, wanted = opened(config.prepared or data.prepared, config.run), sources_of(data)
    for split in config.split:
        tested_path, again = Runs.estimates_dir(config.run, split) / Runs.TESTED, f"run={config.run} split={split}"
        again = f"python Test.py with {again}"
        if not tested_path.is_file():
            raise FileNotFoundError(f"no finished estimates at {tested_path.parent}: make them with  {again}")
        tested = read_json(tested_path, Tested, again)
        require_same_weights(config.run, tested_path, tested.checkpoint, again)
        below = split if config.out else Runs.scores_dir("", split).as_posix()
        output.require_free([f"{below}/{name}" for name in (RECOGNISED, "summary.csv", "summary.md")])
        estimates = _rows(tested_path.with_name(PROBABILITIES))
        truth = PreparedReferences(prepared, tuple(t for t in prepared.split(split) if t.name in tested.tracks))
        rows = []
        for track in Utils.progress(truth.tracks, unit="track", label=f"scoring {split}"):
            _, references, rate_hz = truth.read(track, wanted, "sum")
            of_track = estimates[estimates["track"] == track.name]
            windows = of_track[of_track["source"] == wanted.names[0]]
            true = playing_in(references, np.rint(windows["seconds"].to_numpy() * rate_hz).astype(int))
            # Rows of a track are class by class, each in the order of time.
            rows.append(of_track.assign(playing=true.T.astype(int).ravel()))
        recognised = pd.concat(rows)
        summary = Metrics.recognition_summary(recognised)
        text = f"{Utils.markdown_table(*Metrics.recognition_table(summary))}\n\n{Metrics.RECOGNITION_NOTE}"
        made_of = sha256(tested_path)
        for name, content in {
            RECOGNISED: recognised.to_csv(index=False),
            "summary.csv": summary.to_csv(index=False),
            "summary.md": text + "\n",
        }.items():
            output.write_text(f"{below}/{name}", content, made_of)
        yield split, output.root / below, text


def read(folder: Path) -> pd.DataFrame:
    """The rows that `evaluate` left: track, start_seconds, seconds, source, probability and playing (0 or 1)."""
    return _rows(folder / RECOGNISED)


def _rows(path: Path) -> pd.DataFrame:
    return pd.read_csv(
        path, dtype={"track": str, "source": str}, keep_default_na=False
    )  # somebody's track is called NA


def playing_in(references: np.ndarray, samples: list[int] | np.ndarray) -> np.ndarray:
    """Which classes play in each of consecutive windows of so many samples of a track (T, K, C): (N, K), 1.0 or 0.0."""
    ends = np.cumsum(samples)
    spans = zip(ends - samples, ends, strict=True)
    return np.concatenate([np.asarray(playing(references[None, start:end])) for start, end in spans])


def proposed_labels(
    recogniser: Path, config: Config.Training, paths: Sequence[Path]
) -> tuple[dict[Path, list[str]], list[str]]:
    """The classes of a separating run that play in audio files, with a probability of 0.5 or more; says them on stderr.

    Args:
        recogniser: the folder of a run that recognises.
        config: of the run that separates.
        paths: the files.

    Returns:
        The classes by file, in the order of the separating run; and what is wrong with the files that are not among
        them: they cannot be read, or none of its classes is recognised.

    Raises:
        FileNotFoundError, ValueError: if the first run is missing or does not recognise.
    """
    run, known, labels, faults = Run(recogniser), config.data.sources, {}, []
    rate_hz, network = run.config.data.sample_rate_hz, run.recogniser
    if never := [name for name in known if name not in run.config.data.sources]:
        print(f"note: {recogniser} never proposes {', '.join(never)}, which it does not know", file=sys.stderr)
    for path in paths:
        try:
            windows = recognise(network, run.lengths, audio_blocks(path, rate_hz))
            found = probabilities_of(run.config.data, windows)
        except (ValueError, OSError) as error:
            faults.append(Utils.in_words(error))
            continue
        ranked = sorted(found.items(), key=lambda item: -item[1])
        listed = ", ".join(f"{name} {probability:.2f}" for name, probability in ranked if probability >= LISTED)
        playing = [name for name in known if found.get(name, 0) >= Metrics.THRESHOLD]
        if playing:
            labels[path] = playing
            print(f"note: {path}: recognised {listed}; taken as --labels {','.join(playing)}", file=sys.stderr)
        else:
            faults.append(
                f"{path}: no class of the run is recognised with a probability of {Metrics.THRESHOLD} or more "
                f"({listed or f'none has {LISTED}'}); name those that play with --labels"
            )
    return labels, faults
