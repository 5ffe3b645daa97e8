"""The frame of an image: its symbols, and a header that tells the receiver everything else, spread over the same air.

    words (128 uses each, repeated in long frames) | the method's symbols | the header's body, where codes are many

Where the air fades, pilots lie between all of them (`jscc.grid`), and what arrives is equalised first.

A header of few codes is words alone. Of many codes, the word tells the size of a body of coded bytes, which takes the
last places of the method's symbols. All of that is in one budget of channel uses and of power: the mean power of the
whole frame is 1. What both ends must agree on follows from whole numbers. If a checksum fails, the image is lost.
"""

import dataclasses
import math
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor

from jscc import signals
from jscc.framing import blocks, equaliser, header, pilots, word
from jscc.framing.header import HeaderLostError
from jscc.grid import Grid
from jscc.signals import ChannelState, Layout, Reach, Side

_SLOTS_PER_COPY = 65536
_MOST_COPIES = 8
_MOST_OF_POWER = 0.5
"""Share of a frame's power that its header may take; at the lowest SNRs that is less than it needs."""
_GOLDEN = (math.sqrt(5) - 1) / 2


class HeaderReach(NamedTuple):
    """By how much a header is made for a worse channel than told, margins apart: its words, and its body."""

    words: Reach
    body: Reach


_REACHES = {
    "none": HeaderReach(Reach(0), Reach(0)),
    "fast": HeaderReach(Reach(4), Reach(3)),
    "block": HeaderReach(Reach(11, 0.8), Reach(6, 0.7)),
}
"""By `Grid.fading`. Where gains differ many times in a frame, codes see their mean, and need a little more than without
fading. Where all of a frame has one gain, more strength means fewer lost images and less power for all: the best of
both by calculation, for one word and for 3000 bits of body in a frame of 294,912 uses."""


class Frame(NamedTuple):
    """What is sent for a batch of images.

    Attributes:
        symbols: float32 [B, k], mean power 1 per image.
        header_bits: int64 [B], information that the header tells.
        header_uses: int64 [B], of k, for words and body.
        header_share: float64 [B], of the power.
        pilot_uses: of k, whose mean power is that of the frame.
    """

    symbols: Tensor
    header_bits: Tensor
    header_uses: Tensor
    header_share: Tensor
    pilot_uses: int


class Arrived(NamedTuple):
    """What a frame of one image says.

    Attributes:
        symbols: [1, slots], as the method sent them, and noise.
        side: what the header tells.
        state: of these symbols.
    """

    symbols: Tensor
    side: Side
    state: ChannelState


def around(slots: int, code_count: int, code_bits: int, grid: Grid) -> Layout:
    """Return the layout of a method of few codes that has `slots` symbols: header and pilots come on top."""
    words, uses = header.words_for(code_count * code_bits), _word_uses(slots)
    channel_uses = grid.uses_for(slots + words * uses)
    return Layout(channel_uses, slots, code_count, code_bits, words, uses, has_body=False, grid=grid)


def within(channel_uses: int, code_count: int, code_bits: int, grid: Grid, has_body: bool = False) -> Layout:
    """Return the layout whose channel uses, header and pilots among them, are `channel_uses` or a little less.

    Raises:
        ValueError: nothing is left beside words and pilots.
    """
    words = 1 if has_body else header.words_for(code_count * code_bits)
    most = grid.even(channel_uses)
    room = most - grid.pilot_uses(most)
    slots = room - words * _word_uses(room)
    if slots < 1:
        known = f", pilots {most - room}" if most > room else ""
        raise ValueError(f"rho: {channel_uses} channel uses, the header alone takes {room - slots}{known}")
    uses = _word_uses(slots)
    total = grid.uses_for(slots + words * uses)
    return Layout(total, slots, code_count, code_bits, words, uses, has_body, grid)


def _word_uses(slots: int) -> int:
    return word.USES * min(max(slots // _SLOTS_PER_COPY, 1), _MOST_COPIES)


class Shares(NamedTuple):
    """How uses and power of the frames of a batch are divided.

    Attributes:
        word_energy: float64 [B] of each word.
        body_energy: float64 [B] of the body.
        body_uses: int64 [B].
        gain: float64 [B] amplitude of the method's symbols.
    """

    word_energy: Tensor
    body_energy: Tensor
    body_uses: Tensor
    gain: Tensor


def shares_of(layout: Layout, side: Side) -> Shares:
    """Return how both ends divide the frames of images, from the told SNR, the margin and the size of the body."""
    noise_power = signals.told_noise_power(side.snr_code)
    margin_code = side.margin_code + _REACHES[layout.grid.fading].words.steps(side.snr_code)
    each = word.energy(noise_power, margin_code / signals.MARGIN_STEPS_PER_DB, layout.word_uses)
    body = blocks.cost(side.body_bytes, *_body_target(side))
    most = _MOST_OF_POWER * layout.paid_uses
    cut = (most / (layout.words * each + body.energy)).clamp(max=1)
    each, energy = each * cut, body.energy * cut
    left = layout.paid_uses - layout.words * each - energy
    return Shares(each, energy, body.uses, (left / (layout.slots - body.uses).clamp_min(1)).sqrt())


def _body_target(side: Side) -> blocks.Target:
    """Return the channel that bodies are made for."""
    return blocks.target(side.snr_code, side.margin_code, side.grid.fading, _REACHES[side.grid.fading].body)


class Air(NamedTuple):
    """What the header leaves to a method's symbols, [B] each but the last: what both ends know of their air.

    Attributes:
        snr_code: int64, the SNR that the transmitter is told.
        noise_power: float64, for which a method is designed: what the told SNR makes of it where its mean power is 1.
        gain: float64 amplitude of its symbols in the frame.
        uses: int64, its own.
        fading: how the channel fades, for all of them.
    """

    snr_code: Tensor
    noise_power: Tensor
    gain: Tensor
    uses: Tensor
    fading: str


def left_to_method(layout: Layout, side: Side) -> Air:
    """Return what the header leaves to a method's symbols.

    At least one use, so that a method need not ask: a header that takes them all is sent in vain, and its image is
    lost.
    """
    shares = shares_of(layout, side)
    noise_power = signals.told_noise_power(side.snr_code).double() / shares.gain.square()
    uses = (layout.slots - shares.body_uses).clamp_min(1)
    return Air(side.snr_code, noise_power, shares.gain, uses, layout.grid.fading)


def send(layout: Layout, s: Tensor, side: Side) -> Frame:
    """Return the frames of images.

    Args:
        layout: of an image of this size.
        s: float32 [B, slots], a method's symbols of mean power 1 over all but the body's places, the last ones.
        side: what they are to be received with.
    """
    shares = shares_of(layout, side)
    symbols = s * shares.gain.float()[:, None]
    if side.body:
        bodies = [_body(side, shares, number) for number in range(len(s))]
        symbols = torch.stack([_end_with(row, body) for row, body in zip(symbols, bodies, strict=True)])
        shares = _balanced(layout, shares, bodies)
    words = torch.stack([_words(layout, side, shares, row) for row in range(len(s))]).to(s.device)
    ordered = torch.cat([words, symbols], dim=1)
    spread = torch.empty_like(ordered).index_copy(1, _order(layout).to(s.device), ordered)
    spent = layout.words * shares.word_energy + shares.body_energy
    bits = torch.tensor(header.info_bits(layout, side))
    sent = pilots.with_pilots(layout.grid, spread)
    known = layout.grid.pilot_uses(layout.channel_uses)
    return Frame(sent, bits, words.shape[1] + shares.body_uses, spent / layout.channel_uses, known)


def _balanced(layout: Layout, shares: Shares, bodies: list[Tensor]) -> Shares:
    """Return shares whose words make up for bodies that are some percent off their plan: words tell their own power."""
    found = torch.tensor([float(body.double().square().sum()) for body in bodies], device=shares.body_energy.device)
    words = shares.word_energy + (shares.body_energy - found) / layout.words
    return shares._replace(word_energy=words.maximum(shares.word_energy / 2), body_energy=found)


def _words(layout: Layout, side: Side, shares: Shares, row: int) -> Tensor:
    energy = float(shares.word_energy[row])
    return torch.cat([word.send(value, layout.word_uses, energy) for value in header.write(layout, side, row)])


def _body(side: Side, shares: Shares, row: int) -> Tensor:
    return blocks.send(side.body[row], int(_body_target(side).snr_code[row]), float(shares.body_energy[row]))


def _end_with(symbols: Tensor, body: Tensor) -> Tensor:
    kept = max(0, len(symbols) - len(body))  # of a body that does not fit, its beginning
    return torch.cat([symbols[:kept], body[: len(symbols)].to(symbols.device)])


def receive(
    layout: Layout, y: Tensor, state: ChannelState, size_px: tuple[int, int], read: Callable[[bytes], list[int]]
) -> Arrived:
    """Return what the frame of one image says.

    Args:
        layout: of an image of this size.
        y: float32 [1, k] received symbols.
        state: noise power, and gains where a genie tells them.
        size_px: height and width.
        read: gives the codes that a body tells; ValueError if it tells none.

    Raises:
        ValueError: k is not what an image of this size is sent as.
        HeaderLostError: the header did not arrive.
    """
    signals.check_symbols(y, layout.channel_uses, size_px)
    y, state = equaliser.equalised(layout.grid, y, state)
    order = _order(layout).to(y.device)
    words = layout.paid_uses - layout.slots
    ordered, powers = (part[0, order] for part in (y, state.of_symbol(y.shape[1])))
    (head, symbols), (noise, noise_power) = ((part[:words], part[words:]) for part in (ordered, powers))
    parts = zip(head.chunk(layout.words), noise.chunk(layout.words), strict=True)
    values = [_arrived(word.receive(*part)) for part in parts]
    side = header.side_of(header.read(values), layout, size_px, y.device)
    shares = shares_of(layout, side)
    if layout.has_body:
        side = _read_body(side, shares, symbols, noise_power, read)
    amplitude = shares.gain.float()
    of_all = state.noise_power if state.noise_power.ndim == 1 else noise_power[None]
    return Arrived((symbols / amplitude)[None], side, ChannelState(of_all / amplitude.square()))


def _read_body(
    side: Side, shares: Shares, symbols: Tensor, noise_power: Tensor, read: Callable[[bytes], list[int]]
) -> Side:
    size_bytes, uses = int(side.body_bytes), int(shares.body_uses)
    if not size_bytes or uses >= len(symbols):
        raise HeaderLostError(f"header: no body of {size_bytes} bytes", side.colour[0])
    tail = (part[len(symbols) - uses :] for part in (symbols, noise_power))
    found = blocks.receive(size_bytes, int(_body_target(side).snr_code), float(shares.body_energy), *tail)
    try:
        codes = read(_arrived(found))
    except ValueError as error:  # a checksum misses one error in 2^32
        raise HeaderLostError(f"header: {error}", side.colour[0]) from error
    return dataclasses.replace(side, codes=torch.tensor([codes], dtype=torch.float32, device=symbols.device))


T = TypeVar("T", int, bytes)


def _arrived(found: T | None) -> T:
    if found is None:
        raise HeaderLostError("header: a checksum fails")
    return found


def pair_of(layout: Layout) -> Tensor:
    """Return the complex symbol int64 [slots] of the frame that each of a method's symbols is a part of."""
    pair = _order(layout)[layout.paid_uses - layout.slots :] // 2
    return pilots.places(layout.grid, layout.channel_uses + layout.channel_uses % 2).others[pair]


@lru_cache(maxsize=8)
def _order(layout: Layout) -> Tensor:
    """Return the place int64 among all but the pilots of each symbol: a stride near the golden section spreads them."""
    uses = layout.paid_uses
    step = max(1, round(uses * _GOLDEN)) if layout.grid.interleaved else 1
    while math.gcd(step, uses) != 1:
        step += 1
    with torch.inference_mode(mode=False):  # a service may be the first to ask, and a gradient pass through it later
        return torch.arange(uses) * step % uses
