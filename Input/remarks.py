"""What is worth knowing about audio files that were prepared, in few lines however many files there are."""

import statistics
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

FEW = 3  # so many are named one by one

_ONE = {
    "clipped": "{where}: {amount:.0f} samples beyond full scale were clipped",
    "early": "{where} ends {amount:.3f} s early; silence follows",
    "span": "{where} ends {amount:.2f} s before its range does; what there is is taken",
    "mixture": "{where}: the recorded mixture differs from the sum of its parts by {amount:.1f} dB",
}
_MANY = {
    "clipped": "{count} files have samples beyond full scale, which were clipped: "
    "{median:.0f} in the median, {most:.0f} at most ({where})",
    "early": "{count} files end early and silence follows: "
    "{median:.3f} s in the median, {most:.3f} s at most ({where})",
    "span": "{count} files end before their ranges do, and what there is is taken: "
    "{median:.2f} s in the median, {most:.2f} s at most ({where})",
    "mixture": "{count} recorded mixtures differ from the sum of their parts: "
    "{median:.1f} dB in the median, {most:.1f} dB at most ({where})",
}


@dataclass(frozen=True)
class Remark:
    """One remark: its kind (`clipped`, `early`, `span`, `mixture`), the file or track, and how much of it."""

    kind: str
    where: str
    amount: float


def in_words(remarks: Iterable[Remark]) -> list[str]:
    """A line for each remark; one for all of a kind where they are many."""
    kinds = defaultdict(list)
    for remark in remarks:
        kinds[remark.kind].append(remark)
    lines = []
    for kind, found in kinds.items():
        if len(found) <= FEW:
            lines += [_ONE[kind].format(where=remark.where, amount=remark.amount) for remark in found]
            continue
        worst = max(found, key=lambda remark: (remark.amount, remark.where))
        median = statistics.median(remark.amount for remark in found)
        lines.append(_MANY[kind].format(count=len(found), median=median, most=worst.amount, where=worst.where))
    return sorted(lines)
