"""Which classes play, the problem of networks that emit `playing`: tested, scored, and asked about a recording."""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import Config
import Metrics
import Runs
import Utils
from Actions.data import Tested, opened, read_json, require_same_weights, sources_of
from Actions.run import Run, probabilities_of
from Files import Output, sha256
from Input.audio import audio_blocks
from Input.references import PreparedReferences
from Models.losses import per_example, playing
from Models.recognition import recognise

import numpy as np
import pandas as pd

RECOGNISED = "recognised.csv"
LISTED = 0.1  # less probable classes are not worth a word


def test(config: Config.Test) -> Iterator[tuple[str, float, Path]]:
    """Computes which classes play in each window of every track of each split, with the run's best weights.

    RUN/estimates/<split>/recognised.csv gets a row a window and class, as `read` gives them.

    Yields:
        The split, the mean of the run's loss over windows, as in its validation, and the folder of the estimates.

    Raises:
        FileNotFoundError, ValueError: if the run, its checkpoint, the data set or a split is missing, they do not
            belong together, or probes are asked for.
        FileExistsError: if something that this program did not write is in the place of a file.
    """
    if config.probes:
        raise ValueError("probes are of a network's contexts. Received: a run that recognises, which has none")
    run, output = Run(config.run), Output(config.run)
    data, loss = run.config.data, run.config.training.loss
    prepared, wanted = opened(config.prepared or data.prepared, config.run), sources_of(data)
    truths = {
        split: PreparedReferences(prepared, prepared.split(split, config.parts or data.parts)) for split in config.split
    }
    folders = {split: Runs.estimates_dir("", split).as_posix() for split in truths}
    output.require_free([f"{below}/{name}" for below in folders.values() for name in (RECOGNISED, Runs.TESTED)])
    for split, truth in truths.items():
        below = folders[split]
        output.remove([f"{below}/{Runs.TESTED}"])  # the sign that estimates are finished goes first
        tables, losses = [], []
        for track in Utils.progress(truth.tracks, unit="track", label=f"recognising {split}"):
            mixture, references, rate_hz = truth.read(track, wanted, config.mixture)
            probabilities, samples = zip(*recognise(run.recogniser, run.lengths, [mixture]), strict=True)
            true = playing_in(references, run.lengths.output_samples(1))
            both = ({"playing": np.float32(each)} for each in (true, probabilities))
            losses += np.asarray(per_example(loss, *both)).tolist()
            seconds, classes = np.array(samples) / rate_hz, len(wanted.names)
            columns = {
                "track": track.name,
                "start_seconds": np.repeat(np.cumsum(seconds) - seconds, classes),
                "seconds": np.repeat(seconds, classes),
                "source": wanted.names * len(samples),
                "probability": np.ravel(probabilities),
                "playing": true.astype(int).ravel(),
            }
            tables.append(pd.DataFrame(columns))
        output.write_text(f"{below}/{RECOGNISED}", pd.concat(tables).to_csv(index=False))
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

    SCORES/<split> gets summary.csv, summary.md and recognised.csv, which they are of.

    Yields:
        The split, where the files are, and a table for a screen.

    Raises:
        FileNotFoundError, ValueError: if estimates are missing or of other weights, or what is asked for is of
            separation alone.
    """
    for key in ("probes", "oracles", "prepared"):
        if getattr(config, key):
            raise ValueError(f"{key} is for runs that separate. Received: {config.run}, a run that recognises")
    output = Output(config.out or config.run)
    for split in config.split:
        path = Runs.estimates_dir(config.run, split) / Runs.TESTED
        again = f"python Test.py with run={config.run} split={split}"
        if not path.is_file():
            raise FileNotFoundError(f"no finished estimates at {path.parent}: make them with  {again}")
        require_same_weights(config.run, path, read_json(path, Tested, again).checkpoint, again)
        rows = read(path.parent)
        summary = Metrics.recognition_summary(rows)
        text = f"{Utils.markdown_table(*Metrics.recognition_table(summary))}\n\n{Metrics.RECOGNITION_NOTE}"
        below = split if config.out else Runs.scores_dir("", split).as_posix()
        contents = {
            RECOGNISED: rows.to_csv(index=False),
            "summary.csv": summary.to_csv(index=False),
            "summary.md": text + "\n",
        }
        output.require_free([f"{below}/{name}" for name in contents])
        for name, content in contents.items():
            output.write_text(f"{below}/{name}", content, sha256(path))
        yield split, output.root / below, text


def read(folder: Path) -> pd.DataFrame:
    """What was recognised in a split: track, start_seconds, seconds, source, probability and playing (0 or 1).

    Raises:
        FileNotFoundError: if it was not tested.
    """
    # A track, or a source, may be called NA.
    return pd.read_csv(folder / RECOGNISED, dtype={"track": str, "source": str}, keep_default_na=False)


def playing_in(references: np.ndarray, samples: int) -> np.ndarray:
    """Which classes play in consecutive windows of a track (T, K, C): (N, K), 1.0 or 0.0; the last ends in silence."""
    windows = -(-len(references) // samples)
    padded = np.zeros((windows * samples, *references.shape[1:]), np.float32)
    padded[: len(references)] = references
    return np.asarray(playing(padded.reshape(windows, samples, *references.shape[1:])))


def proposed_labels(
    recogniser: Path, config: Config.Training, paths: Sequence[Path]
) -> tuple[dict[Path, list[str]], list[str]]:
    """The classes of a separating run that play in audio files, with a probability of 0.5 or more; prints them.

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
