"""A prepared data set -> what is in it, and whether it is fit to train on.

- `examination`: everything, or what is quick enough to be asked before each training.
- `inventory`, `findings`: its tables, and its faults, leaks and remarks in words; `report`: both as they are printed.
- `loudness`: when a part plays, and where it is clipped.
- `shared_takes`: recordings that different tracks share; `landmarks`: which pairs are worth comparing.
"""

from .examination import Diagnosis, examine, require_trainable
from .report import report_of

__all__ = ["Diagnosis", "examine", "report_of", "require_trainable"]
