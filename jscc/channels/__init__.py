"""Channels: what air adds to symbols, as differentiable maths that the trainer and the channel service share.

Every channel is split into `draw` (randomness, from a generator that is an argument) and `apply` (maths alone).
"""

from jscc.channels.awgn import Awgn
from jscc.channels.noiseless import Noiseless

__all__ = ["Awgn", "Noiseless"]
