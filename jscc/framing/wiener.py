"""Gains that move, estimated: at every symbol from the pilots around it, by the linear estimate of least error.

Complex symbol i lies on subcarrier i mod N of instant i div N, N = `Grid.row_length`; N = 1 is one symbol after the
other. Two gains that are m instants and c subcarriers apart have the correlation that the grid tells:

    R = J0(2 pi f m) / (1 + 2 pi j s c),    f = `Grid.expected_doppler`, s = `Grid.expected_spread`

With observations z of covariance C and of covariance r with the gain, h = r C^-1 z and E|error|^2 = 1 - r C^-1 r^H.
Observations are means of neighbouring pilots that lie so close that their gains hardly differ; C and r are those of the
means, so nothing is approximated but how far an estimate looks. The pilots of a block lie alike in every block, so few
filters serve all symbols: their number grows with the row, not with the frame.

Source: P. Hoeher, S. Kaiser and P. Robertson, "Two-dimensional pilot-symbol-aided channel estimation by Wiener
filtering", 1997; S. Kay, "Fundamentals of Statistical Signal Processing: Estimation Theory", 1993, chapter 12.
"""

import math
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor

from jscc.framing.pilots import PILOT, FramePlaces, places
from jscc.grid import Grid

OBSERVATIONS = 64
"""That an estimate is made of; fewer where they are means of many pilots."""
_PILOTS_OF_A_WINDOW = 512
_LEAST_OBSERVATIONS = 8
_LONGEST = 4
"""How many times further an estimate looks in one direction than in the other, rows beside distances of pilots."""
_TURNS_OF_A_MEAN = 0.05
"""How far gains may move among the pilots of a mean, in wavelengths."""
_NOISE_FLOOR = 1e-4
"""Noise power from which on less counts as this much: covariances of slow gains are nearly singular, and the library's
J0 is right within 4e-7."""
_CHUNK = 2**22


class Window(NamedTuple):
    """What estimates are made of.

    Attributes:
        means: int64 [blocks, groups, g] places of the pilots of every mean, -1 for none.
        blocks: int64 [M] how many blocks away an observation is.
        groups: int64 [M] which of that block's means it is.
        kind: int64 [blocks] which filter a block has.
        examples: int64 [kinds] a block of each kind.
    """

    means: Tensor
    blocks: Tensor
    groups: Tensor
    kind: Tensor
    examples: Tensor


class Filters(NamedTuple):
    """What is done to observations.

    Attributes:
        weights: complex64 [kinds, block, M].
        error: float32 [kinds, block] mean squared error of an estimate.
    """

    weights: Tensor
    error: Tensor


def estimate(grid: Grid, pairs: Tensor, noise_power: float) -> tuple[Tensor, Tensor]:
    """Return the gain complex64 [n] of every complex symbol of a frame, and the variance [n] of its error.

    Args:
        grid: of the frame; its gains move.
        pairs: complex64 [n] received.
        noise_power: per real symbol.
    """
    window = Window(*(part.to(pairs.device) for part in _window(grid, len(pairs))))
    filters = Filters(*(part.to(pairs.device) for part in _filters(grid, len(pairs), noise_power)))
    is_there = window.means >= 0
    means = (pairs[window.means] / PILOT * is_there).sum(2) / is_there.sum(2).clamp_min(1)
    blocks, gains = torch.arange(len(window.kind), device=pairs.device), []
    for part in torch.split(blocks, max(1, _CHUNK // filters.weights[0].numel())):
        seen = (part[:, None] + window.blocks).clamp(0, len(blocks) - 1)  # of those outside, the weights are 0
        gains.append(filters.weights[window.kind[part]] @ means[seen, window.groups][:, :, None])
    return torch.cat(gains).flatten()[: len(pairs)], filters.error[window.kind].flatten()[: len(pairs)]


def error(grid: Grid, channel_uses: int, noise_power: float) -> Tensor:
    """Return the variance float32 [n] of the error of every complex symbol's gain."""
    pairs = channel_uses // 2
    return _filters(grid, pairs, noise_power).error[_window(grid, pairs).kind].flatten()[:pairs]


def correlation(grid: Grid, place: Tensor, other: Tensor) -> Tensor:
    """Return E[h(place) h*(other)], complex128, of gains at places of a frame."""
    row, other_row = (each.div(grid.row_length, rounding_mode="floor") for each in (place, other))
    column, other_column = (each % grid.row_length for each in (place, other))
    rows, columns = (row - other_row).abs(), column - other_column
    instants = torch.arange(int(rows.max()) + 1, dtype=torch.float64, device=place.device)
    in_time = torch.special.bessel_j0(2 * math.pi * grid.expected_doppler * instants)
    if grid.row_length == 1:
        return torch.complex(in_time, torch.zeros_like(in_time))[rows]
    apart = torch.arange(1 - grid.row_length, grid.row_length, dtype=torch.float64, device=place.device)
    turns = 2 * math.pi * grid.expected_spread * apart
    in_frequency = torch.complex(torch.ones_like(turns), turns).reciprocal()
    found: Tensor = in_frequency[columns + grid.row_length - 1] * in_time[rows]
    return found


@lru_cache(maxsize=8)
def _window(grid: Grid, pairs: int) -> Window:
    """Return what the estimates of a frame are made of: for every block the same, but where the frame or a row ends."""
    with torch.inference_mode(mode=False):
        means = _means(grid, places(grid, 2 * pairs))
        blocks, groups = _nearest(grid, means)
        count, far = len(means), int(blocks.abs().max())
        number = torch.arange(count)
        ends = number.clamp(max=far) * (far + 1) + (count - 1 - number).clamp(max=far)
        kind, examples = _kinds(number * grid.coherence % grid.row_length * (far + 1) ** 2 + ends)
        return Window(means, blocks, groups, kind, examples)


def _kinds(keys: Tensor) -> tuple[Tensor, Tensor]:
    """Return the number of each key [n] among all different ones, and where the first of each of these is."""
    found, kind = torch.unique(keys, return_inverse=True)
    return kind, torch.full_like(found, len(keys)).scatter_reduce(0, kind, torch.arange(len(keys)), "amin")


def _means(grid: Grid, where: FramePlaces) -> Tensor:
    """Return which pilots make which mean, see `Window.means`."""
    blocks, of_pilot = int(where.block[-1]) + 1, where.block[where.pilots]
    rank = torch.arange(len(of_pilot)) - torch.searchsorted(of_pilot, of_pilot)
    apart = grid.pilots if grid.row_length > 1 else math.ceil(grid.coherence * grid.expected_doppler / _TURNS_OF_A_MEAN)
    groups = min(grid.pilots, max(1, apart))
    size = -(-grid.pilots // groups)
    means = torch.full((blocks, groups * size), -1)
    means[of_pilot, rank] = where.pilots
    return means.view(blocks, groups, size)


def _nearest(grid: Grid, means: Tensor) -> tuple[Tensor, Tensor]:
    """Return block and group, relative to a block, of the means whose gains are the most like those in its middle."""
    count = min(OBSERVATIONS, max(_LEAST_OBSERVATIONS, _PILOTS_OF_A_WINDOW // means.shape[2]))
    first = means[0].double().where(means[0] >= 0, math.nan).nanmean(1)
    furthest = min(len(means) - 1, math.ceil(count * max(1, grid.row_length / grid.coherence)))
    blocks = torch.arange(-furthest, furthest + 1)
    away = (blocks[:, None] * grid.coherence + first - (grid.coherence - 1) / 2).flatten()
    rows = (away / grid.row_length).round()
    columns = away - rows * grid.row_length
    per_row, per_column = _unlike(grid)
    unlike = (per_row * rows).square() + (per_column * columns).square()
    order = torch.argsort(away.abs(), stable=True)
    chosen = order[torch.argsort(unlike[order], stable=True)][:count]
    return blocks[chosen // len(first)], chosen % len(first)


def _unlike(grid: Grid) -> tuple[float, float]:
    """Return how unlike gains get from row to row and from subcarrier to subcarrier.

    It is the root of what 1 - |R| begins with, over pi. Where gains hardly change in one direction, more is said of it,
    so that an estimate has pilots on all sides in the other one too.
    """
    apart = grid.coherence / grid.pilots
    in_time, in_frequency = grid.expected_doppler, math.sqrt(2) * grid.expected_spread * apart
    return max(in_time, in_frequency / _LONGEST), max(in_frequency, in_time / _LONGEST) / apart


@lru_cache(maxsize=4)
def _filters(grid: Grid, pairs: int, noise_power: float) -> Filters:
    """Return the filters of every kind of block."""
    with torch.inference_mode(mode=False):
        window = _window(grid, pairs)
        pilots = len(window.blocks) * window.means.shape[2]
        chunks = torch.split(window.examples, max(1, _CHUNK // (pilots * max(pilots, grid.coherence))))
        weights, errors = zip(*(_solved(grid, window, part, noise_power) for part in chunks), strict=True)
        return Filters(torch.cat(weights), torch.cat(errors))


def _solved(grid: Grid, window: Window, blocks: Tensor, noise_power: float) -> tuple[Tensor, Tensor]:
    """Return weights and errors of the symbols of blocks [c]."""
    seen = blocks[:, None] + window.blocks
    is_inside = (seen >= 0) & (seen < len(window.means))
    pilots = window.means[seen.clamp(0, len(window.means) - 1), window.groups].masked_fill(~is_inside[:, :, None], -1)
    count = (pilots >= 0).sum(2, keepdim=True)
    share = (pilots >= 0) / count.clamp_min(1).double()
    place, of_mean = pilots.flatten(1), share.shape
    among = correlation(grid, place[:, :, None], place[:, None]) * share.flatten(1)[:, :, None]
    covariance = (among.view(*of_mean, *of_mean[1:]) * share[:, None, None]).sum((2, 4))
    symbols = blocks[:, None] * grid.coherence + torch.arange(grid.coherence)
    cross = correlation(grid, symbols[:, :, None], place[:, None]).view(*symbols.shape, *of_mean[1:])
    cross = (cross * share[:, None]).sum(3)
    noise = torch.where(count > 0, max(noise_power, _NOISE_FLOOR) / count, 1.0).squeeze(2)
    weights = torch.cholesky_solve(cross.mH, torch.linalg.cholesky(covariance + torch.diag_embed(noise))).mH
    errors = 1 - (weights * cross.conj()).sum(2).real
    return weights.to(torch.complex64), errors.clamp_min(0).float()
