"""Lengths by arithmetic: which ones a separator takes and gives, and where features stand in the mixture."""

from dataclasses import dataclass
from typing import NamedTuple, Protocol


class Lengths(Protocol):
    """What training and separation need to know of a separator's lengths."""

    @property
    def margin_samples(self) -> int:
        """Samples of mixture on each side of the sources that the separator takes and does not separate."""

    @property
    def stride_samples(self) -> int:
        """Windows that advance by a multiple of it see the same decimated samples."""

    @property
    def overlap_samples(self) -> int:
        """Samples that a window's sources share with the next one's; 0 where both would give the same."""

    def output_samples(self, wanted_samples: int) -> int:
        """The shortest length of the sources that fits and is not below `wanted_samples`."""

    def input_samples(self, output_samples: int) -> int:
        """The length of the mixture that gives sources of `output_samples`."""


@dataclass(frozen=True)
class Padded:
    """A separator that pads its edges with zeros: sources as long as the mixture, and no window but the trained one.

    Neighbouring windows disagree near their edges, so they overlap by a quarter and are cross-faded.

    Args:
        samples: the length that it was built and trained for.
        stride_samples: as in `Lengths`.
    """

    samples: int
    stride_samples: int = 1
    margin_samples: int = 0

    def __post_init__(self) -> None:
        if self.samples < 4:
            raise ValueError(f"expected excerpts of at least 4 samples, to be cross-faded. Received: {self.samples}")

    @property
    def overlap_samples(self) -> int:
        """A quarter of a window, a multiple of the stride where that fits."""
        quarter = self.samples // 4
        return quarter - quarter % self.stride_samples or quarter

    def output_samples(self, wanted_samples: int) -> int:
        """The one length, whatever is wanted."""
        return self.samples

    def input_samples(self, output_samples: int) -> int:
        """The one length."""
        return self.samples


@dataclass(frozen=True)
class Ladder:
    """The shape of a Wave-U-Net without padding: how many levels, and how wide its filters reach.

    Every filter is 'valid', so each layer is a little shorter than the one below it and only some lengths of the
    mixture fit. All of them follow from the length of the bottleneck. Source: Stoller et al. 2018, section 3.2.2.

    Args:
        levels: down-sampling blocks, and as many up-sampling blocks.
        down_size: taps of the filters of the way down and of the bottleneck, in samples of their level; odd.
        up_size: taps of the filters of the way up; odd.
        stride: how many times slower the features of the next level are.
        depth: convolutions in a block.
        resampling_size: taps of the filters that change the rate, in samples of the faster side; odd; 1 for none.
        edge: samples on each side that the last up block gives and the sources lose.
    """

    levels: int
    down_size: int
    up_size: int
    stride: int = 2
    depth: int = 1
    resampling_size: int = 1
    edge: int = 0
    overlap_samples = 0

    def __post_init__(self) -> None:
        sizes = (self.down_size, self.up_size, self.resampling_size)
        if min(self.levels, self.depth, self.stride - 1, *sizes) < 1 or not all(size % 2 for size in sizes):
            raise ValueError(f"expected at least one level, a stride above 1 and odd filter sizes. Received: {self}")

    @property
    def stride_samples(self) -> int:
        """The decimation of the encoder: a mixture shifted by a multiple of it gives sources shifted as much."""
        return self.stride**self.levels

    @property
    def margin_samples(self) -> int:
        """Samples of mixture on each side of the sources that the separator takes and does not separate."""
        output_samples = self.output_samples(1)
        return (self.input_samples(output_samples) - output_samples) // 2

    def output_samples(self, wanted_samples: int) -> int:
        """The shortest length of the sources that fits and is not below `wanted_samples`."""
        bottleneck = 1
        while (shortest := self.decoder(bottleneck)[-1] - 2 * self.edge) < 1:
            bottleneck += 1
        steps = max(0, -(-(wanted_samples - shortest) // self.stride_samples))
        return shortest + steps * self.stride_samples

    def input_samples(self, output_samples: int) -> int:
        """The length of the mixture that gives sources of `output_samples`.

        Raises:
            ValueError: if no mixture gives exactly that length.
        """
        if output_samples != self.output_samples(output_samples):
            raise ValueError(
                f"expected a length of the sources that fits {self}, such as {self.output_samples(output_samples)}. "
                f"Received: {output_samples}"
            )
        return self.encoder(self.bottleneck_samples(output_samples))[0]

    def bottleneck_samples(self, output_samples: int) -> int:
        """The length of the bottleneck under sources of `output_samples`."""
        length = output_samples + 2 * self.edge
        for _ in range(self.levels):
            length = 1 + -(-(length + self.lost_up - 1) // self.stride)
        return length

    def encoder(self, bottleneck_samples: int) -> list[int]:
        """Lengths on the way down: the mixture, then each down block's features before decimation."""
        lengths = [bottleneck_samples + self.lost_down]
        for _ in range(self.levels):
            before_decimation = self.stride * (lengths[-1] - 1) + 1 + (self.resampling_size - 1)
            lengths[-1:] = [before_decimation, before_decimation + self.lost_down]
        return lengths[::-1]

    def decoder(self, bottleneck_samples: int) -> list[int]:
        """Lengths on the way up: each up block's features, last what the network emits: the sources and their edges."""
        lengths = [bottleneck_samples]
        for _ in range(self.levels):
            lengths.append(self.stride * (lengths[-1] - 1) + 1 - self.lost_up)
        return lengths[1:]

    def skip_margins(self) -> list[int]:
        """Samples cropped from each side of the mixture and of each down block to meet its up block, top first."""
        bottleneck = self.bottleneck_samples(self.output_samples(1))
        up = self.decoder(bottleneck)[::-1]
        meeting = [up[0], *(length + self.depth * (self.up_size - 1) for length in up)]
        return [(down - length) // 2 for down, length in zip(self.encoder(bottleneck), meeting, strict=True)]

    @property
    def lost_down(self) -> int:
        """Samples that a block of the way down has fewer than what came in."""
        return self.depth * (self.down_size - 1)

    @property
    def lost_up(self) -> int:
        """Samples of its own rate that an up block, and the change of rate before it, lose."""
        return self.depth * (self.up_size - 1) + (self.resampling_size - 1)


class Positions(NamedTuple):
    """Where features stand in the mixture, in samples of it.

    Args:
        start: position of the first; valid filters of 2 n + 1 taps move it by n.
        step: samples between two neighbours.
        end: samples of mixture after the last.
        between: None where features are in the order of time. Else they are in that of `layers.DownConv1D`: first every
            second one (0, 2, ... T - 1), then those between them from number `between` to T - 1 - `between`.
    """

    start: float = 0
    step: int = 1
    end: float = 0
    between: int | None = None


@dataclass(frozen=True)
class Geometry:
    """Where the features of each block of a Wave-U-Net stand in the mixture, and which of them its skips use.

    Levels count from 1, at the mixture's rate, to `ladder.levels`; one below is the bottleneck.

    Args:
        ladder: sizes of filters, and strides.
        padding: `valid`, or `same`, which loses no samples.
    """

    ladder: Ladder
    padding: str

    @property
    def margins(self) -> list[int]:
        """Samples on each side that a skip does without: the mixture's, then that of each level."""
        return self.ladder.skip_margins() if self.padding == "valid" else [0] * (self.ladder.levels + 1)

    @property
    def sparing(self) -> bool:
        """Whether down blocks end with `layers.DownConv1D`: half of their samples, or more, are of no use.

        The level below must take every second sample without a filter, and a skip more than one.
        """
        ladder = self.ladder
        return (self.padding, ladder.stride, ladder.resampling_size) == ("valid", 2, 1) and ladder.up_size > 1

    def down(self, level: int) -> Positions:
        """After the convolutions of the way down at a level, or of the bottleneck."""
        between = self.margins[level] + 1 if self.sparing and level <= self.ladder.levels else None
        return self._positions(level, self._lost_down(level), between)

    def up(self, level: int) -> Positions:
        """After the convolutions of the way up at a level."""
        steps = sum(self.ladder.stride**n for n in range(level - 1, self.ladder.levels))
        return self._positions(level, self._lost_down(self.ladder.levels + 1) + steps * self.ladder.lost_up)

    def _lost_down(self, level: int) -> int:
        """Samples of the mixture that valid filters have lost on the way down, on both sides together."""
        *above, own = (self.ladder.stride**n for n in range(level))
        return (sum(above) + own) * self.ladder.lost_down + sum(above) * (self.ladder.resampling_size - 1)

    def _positions(self, level: int, lost: int, between: int | None = None) -> Positions:
        step = self.ladder.stride ** (level - 1)
        if self.padding == "same":
            return Positions(0.0, step, step - 1)
        return Positions(lost / 2, step, lost / 2, between)
