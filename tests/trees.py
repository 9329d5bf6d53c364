"""What lies in a folder and below, to be compared."""

import os
from pathlib import Path

from Files import OWN


def seen_in(root: Path) -> dict[str, object]:
    """All that is in a folder and below: bytes and times of files, targets of links; but for our own folders."""
    seen: dict[str, object] = {}
    for folder, below, files in os.walk(root):
        below[:] = [name for name in below if name != OWN or Path(folder, name).is_symlink()]
        for name in (*below, *files):
            path = Path(folder, name)
            where = str(path.relative_to(root))
            if path.is_symlink():
                seen[where] = os.readlink(path)
            else:
                seen[where] = (path.read_bytes(), path.stat().st_mtime_ns) if path.is_file() else "folder"
    return seen
