"""Symbols of known probabilities as bytes, as few as their information: a range coder.

Source: the library `constriction` (R. Bamler, "Understanding Entropy Coding With Asymmetric Numeral Systems", 2022),
whose models are whole numbers of one precision on every machine. It is imported with the first bytes: a training needs
none.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

Counts = NDArray[np.float32]
"""How often each symbol is expected, [..., symbols], whole numbers above 0 whose sum is below 2^24."""
_WORD_BYTES = 4


def counts_of(table: Tensor) -> Counts:
    """Return counts, a tensor of whole numbers, as the coder takes them."""
    counts: Counts = table.float().cpu().numpy()
    return counts


def encode(groups: Iterable[tuple[NDArray[np.int32], Counts]]) -> bytes:
    """Return groups of symbols 0..n-1 as bytes; counts are [n] for all of a group, or one row for each symbol."""
    from constriction import stream

    coder = stream.queue.RangeEncoder()
    for symbols, counts in groups:
        if counts.ndim == 1:
            coder.encode(symbols, model(counts))
        else:
            coder.encode(symbols, stream.model.Categorical(perfect=False), _shares(counts))
    compressed: NDArray[np.uint32] = coder.get_compressed()
    return compressed.astype("<u4").tobytes().rstrip(b"\0")


class Decoder:
    """Reads what `encode` wrote, in its order; of what was never written come some symbols or other, or none."""

    def __init__(self, data: bytes) -> None:
        """Begin."""
        from constriction import stream

        words = data + bytes(-len(data) % _WORD_BYTES + _WORD_BYTES)
        self._coder = stream.queue.RangeDecoder(np.frombuffer(words, "<u4").astype(np.uint32))

    def group(self, length: int, counts: Counts) -> NDArray[np.int32]:
        """Return the next symbols, all of these counts [n].

        Raises:
            ValueError: nothing that `encode` writes goes on like this.
        """
        found: NDArray[np.int32] = self._decode(model(counts), length)
        return found

    def symbol(self, of: Any) -> int:
        """Return the next symbol, of this `model`; errors as for `group`."""
        return int(self._decode(of))

    def _decode(self, *what: Any) -> Any:
        try:
            return self._coder.decode(*what)
        except AssertionError as error:  # how the library says so
            raise ValueError("bytes that no range coder has written") from error


def model(counts: Counts) -> Any:
    """Return counts [n] as `Decoder.symbol` wants them."""
    from constriction import stream

    return stream.model.Categorical(_shares(counts), perfect=False)


def _shares(counts: Counts) -> Counts:
    """Return counts as probabilities; sums of whole numbers below 2^24 are exact whatever their order."""
    shares: Counts = counts / counts.sum(-1, keepdims=True, dtype=np.float32)
    return shares
