"""A comparison of runs as one html file, which needs nothing beside it: tables, pictures and sound are inside."""

import base64
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import jinja2

TEMPLATE = Path(__file__).with_name("report.html.j2")


class Table(NamedTuple):
    """A table: what it is, its headings, its rows of cells, and a note below it."""

    title: str
    headings: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""


class Picture(NamedTuple):
    """A picture: what it is, and the png."""

    title: str
    png: Path


class Sound(NamedTuple):
    """Something to listen to: who made it, and the bytes of a flac; none where there is no sound."""

    title: str
    flac: bytes | None


class Passage(NamedTuple):
    """Some seconds of a track: what it is, sounds side by side by source, and their spectrograms."""

    title: str
    sources: Sequence[tuple[str, Sequence[Sound]]]
    picture: Picture


def write_report(
    title: str,
    tables: Sequence[Table],
    pictures: Sequence[Picture],
    passages: Sequence[Passage],
    path: str | Path,
) -> None:
    """Writes the file.

    Args:
        title: of the page.
        tables: in their order.
        pictures: in their order.
        passages: of tracks, to be listened to; while one sound plays, another one goes on where it was.
        path: the html to write.

    Raises:
        OSError: a picture is missing, or the file cannot be written.
    """
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters["png"] = lambda picture: _data("image/png", picture.png.read_bytes())
    environment.filters["flac"] = lambda sound: _data("audio/flac", sound.flac)
    template = environment.from_string(TEMPLATE.read_text(encoding="utf-8"))
    html = template.render(title=title, tables=tables, pictures=pictures, passages=passages)
    Path(path).write_text(html, encoding="utf-8")


def _data(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
