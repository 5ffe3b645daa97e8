"""The grid of a frame: its blocks, the pilots in them, and what the transmitter is told of how its air fades.

Two real symbols that follow each other, (s[2i], s[2i+1]), are one complex symbol. Both ends know the grid beforehand,
as they know the size of the image: it is how the link is set up, and the SNR is what changes.
"""

import math
from dataclasses import dataclass

FADINGS = ("none", "fast", "block")
"""What a transmitter may be told: the gain is 1; it differs many times within a frame; it is one for all of it."""
MAX_COHERENCE = 2**24
MAX_PILOTS = 1024
MAX_ROW = 4096
MAX_MOVING_BLOCK = 1024
MAX_MOVING_PILOTS = 64
_MAX_PERIOD = 2**18
_MOST_BLOCKS_OF_A_ROW = 512
_RANGES = {
    "coherence": (0, MAX_COHERENCE),
    "pilots": (0, MAX_PILOTS),
    "row_length": (1, MAX_ROW),
    "expected_doppler": (0, 0.5),
    "expected_spread": (0, 0.5),
}


@dataclass(frozen=True)
class Grid:
    """How the symbols of a frame lie in the air.

    Attributes:
        fading: one of FADINGS.
        coherence: complex symbols of a block, over which a receiver takes the gain for constant unless it expects gains
            to move; 0 for all of a frame.
        pilots: known complex symbols in each block, of the power of the others; 0 for none.
        interleaved: whether neighbours of a method's symbols are spread over the frame.
        row_length: complex symbols that lie beside each other in frequency at one instant, subcarriers of an OFDM
            symbol; with 1 they follow each other.
        expected_doppler: of the gains, as a receiver expects: the highest, in cycles from one instant to the next.
        expected_spread: of the delays, likewise: the root mean square, over one cycle of a subcarrier's spacing.
            Without either, gains are constant in a block and unknown from those of other blocks.
    """

    fading: str = "none"
    coherence: int = 0
    pilots: int = 0
    interleaved: bool = True
    row_length: int = 1
    expected_doppler: float = 0.0
    expected_spread: float = 0.0

    def __post_init__(self) -> None:
        """Check the ranges.

        Raises:
            ValueError: one is out of its range, a block is all pilots, or estimates of moving gains would take a lot.
        """
        if self.fading not in FADINGS:
            raise ValueError(f"fading must be one of {', '.join(FADINGS)}, got {self.fading[:100]!r}")
        for name, (least, most) in _RANGES.items():
            if not least <= getattr(self, name) <= most:
                raise ValueError(f"{name} must be in {least}..{most}, got {getattr(self, name)}")
        if 0 < self.coherence <= self.pilots:
            raise ValueError(f"pilots: {self.pilots} of a block of {self.coherence} complex symbols leave nothing")
        if self.is_moving and self.pilots:
            self._check_moving()

    def _check_moving(self) -> None:
        if not 2 <= self.coherence <= MAX_MOVING_BLOCK or self.pilots > MAX_MOVING_PILOTS:
            raise ValueError(
                f"expected_doppler and expected_spread want blocks of 2..{MAX_MOVING_BLOCK} complex symbols and 1.."
                f"{MAX_MOVING_PILOTS} pilots in each, got {self.coherence} and {self.pilots}; 0 of both wants nothing"
            )
        if self.row_length > _MOST_BLOCKS_OF_A_ROW * self.coherence:
            raise ValueError(
                f"row_length: a row of {self.row_length} has more than {_MOST_BLOCKS_OF_A_ROW} blocks of "
                f"{self.coherence} complex symbols; choose a larger block"
            )
        period = math.lcm(self.row_length, self.coherence)
        if period > _MAX_PERIOD:
            raise ValueError(
                f"row_length: blocks of {self.coherence} lie alike in rows of {self.row_length} after {period} complex "
                f"symbols, the limit is {_MAX_PERIOD}; choose a block that has more factors in common with it"
            )

    @property
    def is_moving(self) -> bool:
        """Whether a receiver expects gains that move in a block, and are like those of other blocks."""
        return self.expected_doppler > 0 or self.expected_spread > 0

    def even(self, channel_uses: int) -> int:
        """Return the largest number of channel uses that a frame can have up to this: pilots need whole pairs."""
        return channel_uses - channel_uses % 2 if self.pilots else channel_uses

    def pilot_uses(self, channel_uses: int) -> int:
        """Return how many of a frame's channel uses are pilots'."""
        pairs = channel_uses // 2
        block = self.coherence or pairs
        if not self.pilots or not block:
            return 0
        whole, rest = divmod(pairs, block)
        return 2 * (whole * min(self.pilots, block) + min(rest, self.pilots))

    def uses_for(self, others: int) -> int:
        """Return the channel uses of a frame in which so many are not pilots'; an odd number gets a spare one."""
        if not self.pilots:
            return others
        pairs = -(-others // 2)
        room = self.coherence - self.pilots if self.coherence else pairs
        return 2 * (pairs + -(-pairs // room) * self.pilots)


PLAIN = Grid()
"""That of air that does not fade."""
