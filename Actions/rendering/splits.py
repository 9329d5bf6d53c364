"""Which line-up every piece has, which split and bank it belongs to, and which scores a split may use."""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from .bank import BANKS, can_play
from .scores import Score, score_pool

Lineup = tuple[str, ...]
# The line-ups of URMP's 44 pieces, in its order.
URMP_LINEUPS = tuple(
    tuple(lineup.split("_"))
    for lineup in """
    vn_vc vn_vn fl_cl fl_fl tpt_tpt sax_sax tpt_tbn fl_vn tpt_vn tpt_sax ob_vc
    vn_vn_vc vn_vn_va fl_fl_cl tpt_tpt_tbn tpt_tpt_sax vn_fl_cl vn_fl_tpt cl_vn_vc tpt_vn_vc cl_tbn_tba sax_tbn_tba
    cl_sax_tba vn_vn_va_vc vn_vn_va_sax vn_vn_va_vc vn_vn_va_sax fl_ob_cl_bn fl_fl_ob_cl fl_fl_ob_sax tpt_tpt_hn_tbn
    vn_vn_va_vc tpt_tpt_hn_tbn tpt_tpt_hn_tbn vn_vn_va_db vn_vn_va_vc fl_vn_va_cl vn_vn_va_vc_db vn_vn_va_sax_db
    fl_fl_ob_cl_bn fl_fl_ob_sax_bn tpt_tpt_hn_tbn_tba tpt_tpt_hn_tbn_tba vn_vn_va_va_vc
    """.split()
)
UNSEEN_BANK = "test_unseen_bank"
HELD_OUT_SHARES = {UNSEEN_BANK: 0.12, "test": 0.12, "validation": 0.10}


def lineups_and_splits(
    pieces: int, bank: str, lineups: Sequence[Lineup], rng: np.random.Generator
) -> tuple[list[Lineup], list[str]]:
    """The line-up and the split of every piece: line-ups cycled, each split spread evenly over them."""
    seen = [lineup for lineup in lineups if any(can_play(b, lineup) for b in _seen_banks(bank))]
    if not seen:
        raise ValueError(f"lineups: expected at least one that bank {bank} can play, received {_names(lineups)}")
    chosen = [seen[i % len(seen)] for i in range(pieces)]
    splits = ["train"] * pieces
    for split, share in HELD_OUT_SHARES.items():
        if split == UNSEEN_BANK and bank == "both":
            continue
        free = [i for i in range(pieces) if splits[i] == "train"]
        if split == UNSEEN_BANK:
            free = [i for i in free if can_play(_other(bank), chosen[i])]
        if not free:
            raise ValueError(
                f"lineups: expected at least one that bank {_other(bank)} can play too, for split {split}, received "
                f"{_names(lineups)}; add one or choose bank both"
            )
        for i in _spread(free, max(1, round(share * pieces)), chosen, rng):
            splits[i] = split
    if bank == "a":
        _widen_unseen(chosen, splits, lineups)
    return chosen, splits


def scores_of_splits(splits: Sequence[str], rng: np.random.Generator) -> dict[str, list[Score]]:
    """The scores of each split: whole groups, dealt out composer by composer in proportion to the splits' pieces."""
    by_group: dict[str, list[Score]] = defaultdict(list)
    for score in score_pool():
        by_group[score.group].append(score)
    groups = [by_group[name] for name in rng.permutation(sorted(by_group))]
    groups.sort(key=lambda group: (group[0].composer, max(len(score.rows) for score in group)))
    shares = {split: splits.count(split) / len(splits) for split in dict.fromkeys(splits)}
    dealt: dict[str, list[Score]] = {split: [] for split in shares}
    owed = dict.fromkeys(shares, 0.0)
    for group in groups:
        for split, share in shares.items():
            owed[split] += share
        split = max(owed, key=lambda split: owed[split])
        owed[split] -= 1
        dealt[split] += group
    return dealt


def bank_of(split: str, bank: str, lineup: Lineup, rng: np.random.Generator) -> str:
    """The bank that plays a piece; where training has both, one drawn from those that can play its line-up."""
    if bank != "both":
        return _other(bank) if split == UNSEEN_BANK else bank
    return str(rng.choice([name for name in BANKS if can_play(name, lineup)]))


def _spread(free: Sequence[int], count: int, chosen: Sequence[Lineup], rng: np.random.Generator) -> list[int]:
    """One piece from each of `count` equal stretches, of the line-up taken least so far."""
    taken: dict[Lineup, int] = defaultdict(int)
    picked = []
    for stretch in np.array_split(np.array(free), min(count, len(free))):
        i = min((int(i) for i in rng.permutation(stretch)), key=lambda i: taken[chosen[i]])
        taken[chosen[i]] += 1
        picked.append(i)
    return picked


def _widen_unseen(chosen: list[Lineup], splits: Sequence[str], lineups: Sequence[Lineup]) -> None:
    """Bank b can play every line-up, so the pieces that test it are not held to those that bank a can play."""
    unseen = [i for i, split in enumerate(splits) if split == UNSEEN_BANK]
    for j, i in enumerate(unseen):
        chosen[i] = lineups[(2 * j + 1) * len(lineups) // (2 * len(unseen))]


def _seen_banks(bank: str) -> tuple[str, ...]:
    return BANKS if bank == "both" else (bank,)


def _other(bank: str) -> str:
    return "a" if bank == "b" else "b"


def _names(lineups: Sequence[Lineup]) -> str:
    return ",".join("_".join(lineup) for lineup in lineups)
