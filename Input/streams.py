"""Which streams there are: named signals of a track or of its parts."""

from collections.abc import Mapping

STREAMS: Mapping[str, str] = {
    "audio": "what a part sounds like, and the recorded mixture",
    "labels": "the classes that play, or the class of each part; from the instruments' names",
}
"""What each stream is, by its name."""

CONTEXTS = tuple(name for name in STREAMS if name != "audio")
"""Those that a network can be given beside the mixture."""
