"""A run + anybody's audio files -> stems.

    python Separate.py song.wav --run runs/demo --labels vn,vc --out separated
    python Separate.py folder/ other.flac --run runs/urmp --labels fl,cl --stems cl --float32

Writes OUT/<file's name>/<source>.wav with the file's own rate and length, and as many channels: a mono run separates
each channel on its own, a stereo run hears a mono file on both sides. Memory does not grow with the length of a file.
"""

import argparse
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import Config
import Utils
from Input.audio import AudioInfo, audio_blocks, audio_info, resampled
from Input.files import wav_writer, whole_folder
from Models import networks
from Models.separation import load_separator, separate

import numpy as np

SUFFIXES = (".wav", ".flac", ".mp3", ".ogg", ".opus", ".aif", ".aiff", ".au", ".caf", ".w64")


def main(arguments: list[str] | None = None) -> None:
    """Parses the command line and separates file after file."""
    options = _parser().parse_args(arguments)
    with Utils.errors_in_one_line("Separate.py"):
        run = Run(options.run)
        labels, stems = run.labels(options.labels), run.stems(options.stems, options.labels)
        faults = []
        for path in audio_files(options.files):
            try:
                run.separate_file(path, options.out / path.stem, labels, stems, options.subtype)
            except (ValueError, FileNotFoundError) as error:  # the other files are separated all the same
                faults.append(str(error))
        if faults:
            raise ValueError("\n".join(faults))


class Run:
    """A trained separator, ready for files.

    Args:
        run_dir: the run's folder.

    Raises:
        FileNotFoundError, ValueError: if it is no run or has no checkpoint.
    """

    def __init__(self, run_dir: Path):
        self.config = Config.from_dict(Config.Training, Utils.run_config(run_dir))
        self.sources = self.config.data.sources
        self.separator = load_separator(Utils.run_checkpoint(run_dir))
        self.lengths = networks.lengths(self.config.data.output_samples, **self.config.model.model_dump())

    def labels(self, names: list[str] | None) -> np.ndarray | None:
        """1.0 for each named source (S,); None for a run that is not conditioned.

        Raises:
            ValueError: if a name is unknown, or a conditioned run is given none.
        """
        if self.config.model.conditioning == "none":
            return None
        if not names:
            raise ValueError(f"this run needs --labels, the sources that play, among {', '.join(self.sources)}")
        self._require_known("--labels", names)
        return np.array([source in names for source in self.sources], np.float32)

    def stems(self, names: list[str] | None, labels: list[str] | None) -> list[str]:
        """The sources to write: those named, else those that play, else all.

        Raises:
            ValueError: if a name is unknown.
        """
        self._require_known("--stems", names or [])
        return names or labels or list(self.sources)

    def _require_known(self, flag: str, names: list[str]) -> None:
        if unknown := sorted(set(names) - set(self.sources)):
            raise ValueError(f"{flag}: this run does not know {', '.join(unknown)}; it knows {', '.join(self.sources)}")

    def separate_file(
        self, path: Path, folder: Path, labels: np.ndarray | None, stems: list[str], subtype: str
    ) -> None:
        """Separates one file into `folder`, which appears when all its stems are whole.

        Raises:
            FileNotFoundError, ValueError: if the file cannot be read to its end.
        """
        info = audio_info(path)
        chosen = [self.sources.index(stem) for stem in stems]
        with ExitStack() as stack:
            partial = stack.enter_context(whole_folder(folder))
            files = [
                stack.enter_context(wav_writer(partial / f"{stem}.wav", info.sample_rate_hz, info.channels, subtype))
                for stem in stems
            ]
            bar = stack.enter_context(Utils.progress(total=info.samples, unit="sample", label=path.name))
            for block in self._stems_of(path, info, labels, chosen):
                for file, samples in zip(files, np.moveaxis(block, 1, 0), strict=True):
                    file.write(samples)
                bar.update(len(block))

    def _stems_of(
        self, path: Path, info: AudioInfo, labels: np.ndarray | None, chosen: list[int]
    ) -> Iterator[np.ndarray]:
        """The chosen sources of a file as blocks (t, S', C), at the file's rate, as many samples as the file has."""
        rate_hz = self.config.data.sample_rate_hz
        samples = round(info.samples * rate_hz / info.sample_rate_hz)
        separated = separate(self.separator, self.lengths, audio_blocks(path, rate_hz), labels, samples=samples)
        shape = (len(chosen), info.channels)
        flat = (np.ascontiguousarray(block[:, chosen]).reshape(len(block), -1) for block in separated)
        written = 0
        for block in resampled(flat, rate_hz, info.sample_rate_hz, len(chosen) * info.channels):
            block = block[: info.samples - written]
            written += len(block)
            yield block.reshape(-1, *shape)
        yield np.zeros((info.samples - written, *shape), np.float32)  # what rounding of the two rates may leave


def audio_files(paths: list[Path]) -> list[Path]:
    """The files named, and those in the folders named and below, hidden ones left out.

    Raises:
        FileNotFoundError: if there is none, or a name does not exist.
        ValueError: if two files would write the same folder of stems.
    """
    files: list[Path] = []
    for path in paths:
        if not path.is_dir():
            files.append(path)
            continue
        inside = path.rglob("*")
        found = sorted(p for p in inside if p.suffix.lower() in SUFFIXES and not p.name.startswith("."))
        if not found:
            raise FileNotFoundError(f"{path} holds no audio file ({', '.join(SUFFIXES)})")
        files += found
    names = [path.stem for path in files]
    if doubled := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"several files are called {', '.join(doubled)}; separate them into different --out folders")
    return files


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", type=Path, metavar="FILES", help="audio files, or folders of them")
    parser.add_argument("--run", type=Path, required=True, help="the folder of a run, like runs/demo")
    parser.add_argument("-o", "--out", type=Path, default=Path("separated"), metavar="DIR")
    parser.add_argument("--labels", type=_names, metavar="vn,vc", help="the sources that play, for a conditioned run")
    parser.add_argument("--stems", type=_names, metavar="vn", help="write only these (default: those of --labels)")
    depth = parser.add_mutually_exclusive_group()
    depth.add_argument("--int24", dest="subtype", action="store_const", const="PCM_24", help="24-bit wavs")
    depth.add_argument("--float32", dest="subtype", action="store_const", const="FLOAT", help="wavs that never clip")
    parser.set_defaults(subtype="PCM_16")
    return parser


def _names(text: str) -> list[str]:
    return text.split(",")


if __name__ == "__main__":
    main()
