"""Labels: which classes play."""

import numpy as np

from ..sources import Sources
from .kind import Kind, Stretch


class Labels(Kind):
    """1.0 for each class that plays, or for the class of a part; else 0.0."""

    meaning = "the classes that play, or the class of each part; from the instruments' names"

    def entries(self, sources: Sources) -> int:
        """K, the number of classes."""
        return len(sources.names)

    def add(self, array: np.ndarray, part: Stretch) -> None:
        """Writes that the class of the part plays."""
        array[part.of_class] = 1
