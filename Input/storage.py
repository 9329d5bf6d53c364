"""A folder of files, on this machine or wherever fsspec reaches: Google's and Amazon's object storage and others."""

from pathlib import Path
from typing import Any, Protocol

import fsspec


class Storage(Protocol):
    """A folder whose files are read in pieces."""

    def size(self, name: str) -> int | None:
        """Bytes of a file, by its path inside the folder; None where there is none."""

    def read(self, name: str, first: int, count: int) -> bytes:
        """So many bytes of a file from byte `first` on; fewer where it ends. Raises OSError where it cannot be read."""


def storage(address: Path | str) -> Storage:
    """The folder at a path or at an address such as gs://bucket/prepared.

    Raises:
        ValueError: if the address is of a kind that fsspec does not open, or whose package is not installed.
    """
    if "://" not in str(address):
        return LocalFolder(Path(address))
    try:
        files, path = fsspec.core.url_to_fs(str(address))
    except (ValueError, ImportError) as error:
        raise ValueError(f"{address} cannot be opened: {error}") from None
    return RemoteFolder(files, path)


class LocalFolder:
    """A folder of this machine."""

    def __init__(self, root: Path):
        self.root = root

    def size(self, name: str) -> int | None:
        """As in `Storage`."""
        path = self.root / name
        return path.stat().st_size if path.is_file() else None

    def read(self, name: str, first: int, count: int) -> bytes:
        """As in `Storage`."""
        with (self.root / name).open("rb", buffering=0) as file:  # mapped, each would stay open; few may be
            file.seek(first)
            return file.read(count)


class RemoteFolder:
    """A folder of a file system of fsspec: one listing holds all sizes, and each reading is one request."""

    def __init__(self, files: Any, root: str):
        self.files, self.root = files, root.rstrip("/")
        self._sizes: dict[str, int] | None = None

    def size(self, name: str) -> int | None:
        """As in `Storage`."""
        if self._sizes is None:
            listed = self.files.find(self.root, detail=True)
            self._sizes = {path[len(self.root) :].lstrip("/"): entry["size"] for path, entry in listed.items()}
        return self._sizes.get(name)

    def read(self, name: str, first: int, count: int) -> bytes:
        """As in `Storage`."""
        return self.files.cat_file(f"{self.root}/{name}", first, first + count)
