"""The grid of a frame: its blocks, the pilots in them, and what the transmitter is told of how its air fades.

Two real symbols that follow each other, (s[2i], s[2i+1]), are one complex symbol. Both ends know the grid beforehand,
as they know the size of the image: it is how the link is set up, and the SNR is what changes.
"""

from dataclasses import dataclass

FADINGS = ("none", "fast", "block")
"""What a transmitter may be told: the gain is 1; it differs many times within a frame; it is one for all of it."""
MAX_COHERENCE = 2**24
MAX_PILOTS = 1024


@dataclass(frozen=True)
class Grid:
    """How the symbols of a frame lie in the air.

    Attributes:
        fading: one of FADINGS.
        coherence: complex symbols of a block, over which a receiver takes the gain for constant; 0 for all of a frame.
        pilots: known complex symbols in each block, of the power of the others; 0 for none.
        interleaved: whether neighbours of a method's symbols are spread over the frame.
    """

    fading: str = "none"
    coherence: int = 0
    pilots: int = 0
    interleaved: bool = True

    def __post_init__(self) -> None:
        """Check the ranges.

        Raises:
            ValueError: one is out of its range, or a block is all pilots.
        """
        if self.fading not in FADINGS:
            raise ValueError(f"fading must be one of {', '.join(FADINGS)}, got {self.fading[:100]!r}")
        for name, most in (("coherence", MAX_COHERENCE), ("pilots", MAX_PILOTS)):
            if not 0 <= getattr(self, name) <= most:
                raise ValueError(f"{name} must be in 0..{most}, got {getattr(self, name)}")
        if 0 < self.coherence <= self.pilots:
            raise ValueError(f"pilots: {self.pilots} of a block of {self.coherence} complex symbols leave nothing")

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
