"""A network as a file: Keras's archive, which knows what it was made with."""

import json
import zipfile
from pathlib import Path
from typing import Any

from Files import archive_fault

import keras

from . import earlier, networks  # noqa: F401  # or Keras would not know what stands in a checkpoint

SETTINGS = "vimss.json"  # in the checkpoint's archive, beside what Keras keeps there


def save_network(network: keras.Model, checkpoint: Path, settings: dict[str, Any]) -> None:
    """Writes a checkpoint that knows what it was made with: Keras's archive, and `settings` in it as json."""
    network.save(checkpoint)
    with zipfile.ZipFile(checkpoint, "a") as archive:
        archive.writestr(SETTINGS, json.dumps(settings))


def load_network(checkpoint: Path | str) -> keras.Model:
    """The network of a checkpoint, compiled by XLA, on whatever backend runs.

    Raises:
        ValueError: if the file is damaged, or holds code that Keras does not load unasked.
    """
    if fault := archive_fault(Path(checkpoint)):
        raise ValueError(f"{checkpoint} cannot be read as a checkpoint ({fault})")
    try:
        network = keras.saving.load_model(checkpoint, compile=False)
    except Exception as error:  # whatever a damaged archive makes its readers raise
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ValueError(f"{checkpoint} cannot be read as a checkpoint ({reason})") from error
    network.compile(jit_compile=True)
    return network


def emitting(network: keras.Model, output: str) -> keras.Model:
    """A network that emits arrays by name, as far as it computes one of them; one that emits an array as it is."""
    if not isinstance(network.output, dict):
        return network
    alone = keras.Model(network.input, network.output[output])
    alone.compile(jit_compile=True)
    return alone


def settings_of(checkpoint: Path | str) -> dict[str, Any] | None:
    """What a checkpoint was made with; None where it does not say, as those of earlier versions.

    Raises:
        ValueError: if the file is damaged.
    """
    try:
        with zipfile.ZipFile(checkpoint) as archive:
            return json.loads(archive.read(SETTINGS)) if SETTINGS in archive.namelist() else None
    except (zipfile.BadZipFile, ValueError) as error:
        raise ValueError(f"{checkpoint} cannot be read as a checkpoint ({error})") from error
