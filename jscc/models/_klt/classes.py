"""The classified linear analog code: a patch transform whose power and channel uses follow each patch's activity.

The patches' mean colours, three coefficients each, hold most of an image's energy and are alike from patch to patch.
They make a small picture, the colour plane, which is transformed as a whole; its spectrum's variances are a table over
frequency. Every patch belongs to one of a few classes, which is told; the classes' variances of the other 765
coefficients are a table too. So both ends know for an image, from its size and its classes alone, which coefficients
are worth a channel use, and how much power each gets. The classes are designed for this code as quantisers are: a patch
belongs where error and power together cost least, and a class's variances are those of its patches, in turns.

Source: classification as in W.-H. Chen and C. H. Smith, "Adaptive Coding of Monochrome and Color Images", IEEE Trans.
Communications, 1977, here by S. Lloyd's iteration, "Least squares quantization in PCM", 1982; power by K.-H. Lee and
D. Petersen, "Optimal linear coding for vector channels", 1976; a whole-image DCT of what is smooth after S. Jakubczak
and D. Katabi, "A Cross-Layer Design for Scalable Mobile Video", MobiCom 2011.
"""

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from jscc.models import _linear
from jscc.models._klt import told

PATCH_PX = 16
COEFFICIENTS = 3 * PATCH_PX**2
COLOURS = 3
"""The first coefficients are a patch's mean colour."""
LEVELS_PER_OCTAVE = 16
"""Variances are whole numbers on a logarithmic scale, exact in float16, so that both ends sort them alike."""
LEVELS = 1024
"""Levels of an image's variances are in -LEVELS/2 .. LEVELS/2 - 1."""
_RINGS_PER_OCTAVE = 2
_RINGS = 8 * _RINGS_PER_OCTAVE + 2
"""Rings of spatial frequency, from the mean of the plane over 2^-8 to above 1 in half cycles a patch."""
_BISECTIONS = 60
_VARIANCE_FLOOR = 1e-9
_DESIGN_NOISE_POWER = 10**-0.7
"""Classes for 7 dB serve from -5 to 20 dB."""
_PATCHES_POWER = 0.6
"""Share of the power that the classes are designed for; the rest is the plane's."""
_ROUNDS = 20


class Tables(nn.Module):
    """What both ends know beforehand; nothing in it is trained by gradients."""

    basis: Tensor
    mean: Tensor
    level: Tensor
    plane_level: Tensor
    price_log2: Tensor
    class_count: Tensor

    def __init__(self, classes: int) -> None:
        """Build placeholders for `classes` classes; `fit` fills them."""
        super().__init__()
        self.classes = classes
        packet = _linear.hadamard_packet(PATCH_PX, 4).T
        first = torch.arange(COLOURS) * PATCH_PX**2
        rest = torch.tensor([row for row in range(COEFFICIENTS) if row % PATCH_PX**2])
        self.register_buffer("basis", packet[torch.cat([first, rest])].contiguous())
        self.register_buffer("mean", torch.full((COLOURS,), 0.5))
        falling = -torch.arange(COEFFICIENTS - COLOURS) // 4
        self.register_buffer("level", (falling + LEVELS_PER_OCTAVE * torch.arange(classes)[:, None]).float())
        self.register_buffer("plane_level", -16.0 * torch.arange(_RINGS).expand(COLOURS, -1))
        self.register_buffer("price_log2", torch.zeros(()))
        self.register_buffer("class_count", torch.ones(classes + 1, classes + 1, classes, dtype=torch.int32))

    def analyse(self, x: Tensor) -> Tensor:
        """Transform x [B, 3, H, W], sides multiples of 16, to coefficients [B, 768, H/16, W/16], patch by patch."""
        return _mix(self.basis, F.pixel_unshuffle(x - self.mean[:, None, None], PATCH_PX))

    def synthesise(self, coefficients: Tensor) -> Tensor:
        """Invert `analyse`."""
        return F.pixel_shuffle(_mix(self.basis.T, coefficients), PATCH_PX) + self.mean[:, None, None]

    def classify(self, coefficients: Tensor) -> Tensor:
        """Return the class [B, h, w] int64 of every patch from its coefficients [B, 768, h, w]."""
        energy = coefficients[:, COLOURS:].square().permute(0, 2, 3, 1)
        return _costs(energy, variance(self.level), self.price_log2).argmin(-1)

    def levels(self, classes: Tensor) -> Tensor:
        """Return the variances' levels int64 [B, 768, h, w] of all coefficients, colours as a spectrum.

        Args:
            classes: [B, h, w] class of every patch.
        """
        patches = self.level.long()[classes].permute(0, 3, 1, 2)
        rows, columns = classes.shape[1:]
        plane = self.plane_level.long()[:, _rings(rows, columns, classes.device)]
        plane[:, 0, 0] += _size_level(rows * columns)
        return torch.cat([plane.expand(len(classes), -1, -1, -1), patches], dim=1)

    @torch.no_grad()
    def fit(self, images: list[Tensor], rho: float) -> None:
        """Fit bases, classes and variances to training images uint8 [3, H, W], the classes for channel uses rho."""
        code = _linear.fit(images, PATCH_PX)
        self.basis.copy_(_colours_first(code))
        self.mean.copy_(code.mean)
        patches = torch.cat([_patches(image) for image in images]) - self.mean[:, None, None]
        energy = (patches.flatten(1) @ self.basis[COLOURS:].T).square()
        by_activity = energy.sum(1).argsort().argsort()
        members = by_activity * self.classes // len(energy)
        for _ in range(_ROUNDS):
            count = members.bincount(minlength=self.classes)
            for number in count.nonzero().flatten().tolist():  # a class that lost its patches stays what it was
                self.level[number] = _level(energy[members == number].mean(0))
            self.price_log2.copy_(_price_log2(variance(self.level), count / count.sum(), rho * COEFFICIENTS))
            members = _costs(energy, variance(self.level), self.price_log2).argmin(-1)
        self.plane_level.copy_(self._plane_levels(images))
        self.class_count.copy_(self._class_counts(images))

    def _class_counts(self, images: list[Tensor]) -> Tensor:
        """Return how often each class follows its neighbours, and once more."""
        classified = [self.classify(self.analyse(whole_patches(image)))[0] for image in images]
        return told.count_neighbours(classified, self.classes) + 1

    def _plane_levels(self, images: list[Tensor]) -> Tensor:
        energy, count = torch.zeros(COLOURS, _RINGS).double(), torch.zeros(_RINGS).double()
        for image in images:
            x = whole_patches(image) - self.mean[:, None, None]
            plane = to_spectrum(_mix(self.basis[:COLOURS], F.pixel_unshuffle(x, PATCH_PX)))[0]
            rows, columns = plane.shape[1:]
            plane[:, 0, 0] /= (rows * columns) ** 0.5
            ring = _rings(rows, columns, plane.device).flatten()
            energy.index_add_(1, ring, plane.square().flatten(1).double())
            count.index_add_(0, ring, torch.ones(len(ring)).double())
        level = _level(energy / count.clamp_min(1))
        for number in range(_RINGS - 2, 0, -1):  # where no photo was large enough: 1/f^2, as pictures have
            if not count[number]:
                level[:, number] = level[:, number + 1] + 2 * LEVELS_PER_OCTAVE // _RINGS_PER_OCTAVE
        return level


def whole_patches(image: Tensor) -> Tensor:
    """Return an image uint8 [3, H, W] as float32 [1, 3, h, w] in [0, 1], cut to whole patches."""
    height_px, width_px = (side // PATCH_PX * PATCH_PX for side in image.shape[1:])
    return image[None, :, :height_px, :width_px].float() / 255


def _mix(matrix: Tensor, z: Tensor) -> Tensor:
    """Multiply the channels of z [B, C, h, w] by a matrix; on a CPU several times faster than a convolution."""
    return (matrix @ z.flatten(2)).reshape(len(z), -1, *z.shape[2:])


def to_spectrum(coefficients: Tensor) -> Tensor:
    """Transform the colour plane of coefficients [B, 768, h, w] by the orthonormal DCT; the others stay."""
    rows, columns = (_linear.dct_basis(size, coefficients.device) for size in coefficients.shape[-2:])
    return torch.cat([rows @ coefficients[:, :COLOURS] @ columns.T, coefficients[:, COLOURS:]], dim=1)


def from_spectrum(spectrum: Tensor) -> Tensor:
    """Invert `to_spectrum`."""
    rows, columns = (_linear.dct_basis(size, spectrum.device) for size in spectrum.shape[-2:])
    return torch.cat([rows.T @ spectrum[:, :COLOURS] @ columns, spectrum[:, COLOURS:]], dim=1)


def per_patch(spectrum_variance: Tensor) -> Tensor:
    """Return the variances [B, 768, h, w] patch by patch of those of a spectrum: the plane's mean everywhere in it."""
    plane = spectrum_variance[:, :COLOURS]
    return torch.cat([plane.mean((2, 3), keepdim=True).expand_as(plane), spectrum_variance[:, COLOURS:]], dim=1)


def variance(levels: Tensor) -> Tensor:
    """Return the variances float32 of levels."""
    return torch.exp2(levels.float() / LEVELS_PER_OCTAVE)


def select(levels: Tensor, channel_uses: int) -> Tensor:
    """Choose the coefficients that are sent: those of the highest levels, of equal ones the first.

    Args:
        levels: int64 [B, 768, h, w].
        channel_uses: how many, per image.

    Returns:
        int64 [B, channel_uses], their places in levels[i].flatten(), by falling level.
    """
    falling = (-levels).flatten(1).to(torch.int16)
    if falling.is_cuda:
        return falling.sort(dim=1, stable=True).indices[:, :channel_uses]
    order = np.argsort(falling.numpy(), axis=1, kind="stable")  # sorts by digits: a third of the time of torch's
    return torch.from_numpy(order[:, :channel_uses])


class Places:
    """Where the coefficients that are sent are, from what both ends know: the classes [B, h, w].

    Attributes:
        levels: int64 [B, k] of their variances, falling.
        deviation: float32 [B, k] their deviations.
        variance: float32 [B, 768, h, w] of all coefficients.
    """

    def __init__(self, tables: Tables, classes: Tensor, channel_uses: int) -> None:
        """Choose so many coefficients, those of the largest variances; where there are fewer, the rest are nothing."""
        levels = tables.levels(classes)
        there = min(channel_uses, levels[0].numel())
        self._index = select(levels, there)
        self._missing = channel_uses - there
        chosen = levels.flatten(1).gather(1, self._index)
        self.levels = F.pad(chosen, (0, self._missing), value=-LEVELS // 2)
        self.deviation = variance(self.levels).sqrt()
        self.variance = variance(levels)

    def take(self, z: Tensor) -> Tensor:
        """Return the entries [B, k] of z [B, 768, h, w] for them."""
        return F.pad(z.flatten(1).gather(1, self._index), (0, self._missing))

    def put(self, z: Tensor, values: Tensor) -> Tensor:
        """Return z [B, 768, h, w] with values [B, k] for them."""
        return z.flatten(1).scatter(1, self._index, values[:, : self._index.shape[1]]).reshape(z.shape)


def histogram(levels: Tensor, weight: Tensor) -> Tensor:
    """Return the total weight [B, LEVELS] of each level among levels int64 [B, k], of weights float64 [B, k]."""
    count = torch.zeros(len(levels), LEVELS, dtype=torch.float64, device=levels.device)
    return count.scatter_add_(1, bin_of(levels), weight)


def bin_of(levels: Tensor) -> Tensor:
    """Return the places of levels in a histogram."""
    return (levels + LEVELS // 2).clamp(0, LEVELS - 1)


def bin_levels(device: torch.device) -> Tensor:
    """Return the level int64 [LEVELS] of each place of a histogram."""
    return torch.arange(LEVELS, device=device) - LEVELS // 2


def water_fill(count: Tensor, noise_power: Tensor, total: Tensor) -> Tensor:
    """Share out a power among coefficients.

    Minimises the sum of lambda s2 / (p + s2), which gives p = sqrt(s2 lambda / mu) - s2, cut off at zero.

    Args:
        count: float64 [..., LEVELS], how many coefficients are of each level.
        noise_power: [..., 1] for which the power is best.
        total: [..., 1] power of all coefficients together, above 0.

    Returns:
        float64 [..., LEVELS], the power of one coefficient of each level, 0 where none is worth it.
    """
    root = (noise_power * torch.exp2(bin_levels(count.device).double() / LEVELS_PER_OCTAVE)).sqrt()
    # Filling the levels from some level upwards takes sum(root / sqrt(mu) - s2) = total; the best such level is the
    # lowest that gets power itself.
    above, roots = (part.flip(-1).cumsum(-1).flip(-1) for part in (count, count * root))
    filled = (total + noise_power * above) / roots.clamp_min(torch.finfo(torch.float64).tiny)
    lowest = (root * filled > noise_power).long().argmax(dim=-1, keepdim=True)
    return (root * filled.gather(-1, lowest) - noise_power).clamp_min(0)


def _costs(energy: Tensor, variances: Tensor, price_log2: Tensor) -> Tensor:
    """Return what patches cost in each class: the expected squared error, and the price of the power.

    Args:
        energy: [..., 765] squares of the patches' coefficients.
        variances: [classes, 765].
        price_log2: log2 of the price of a unit of power.

    Returns:
        [..., classes].
    """
    spent = _design_power(variances, price_log2)
    kept = _DESIGN_NOISE_POWER / (spent + _DESIGN_NOISE_POWER)  # share of a coefficient that the LMMSE leaves out
    per_energy = kept.square() + torch.exp2(price_log2) * spent / variances
    noise = ((1 - kept) * kept * variances).sum(1)
    return energy @ per_energy.T + noise


def _design_power(variances: Tensor, price_log2: Tensor) -> Tensor:
    return ((_DESIGN_NOISE_POWER * variances / torch.exp2(price_log2)).sqrt() - _DESIGN_NOISE_POWER).clamp_min(0)


def _price_log2(variances: Tensor, share: Tensor, channel_uses: float) -> Tensor:
    """Return the price at which patches, of which classes have this share, spend their part of the power."""
    low, high = torch.tensor(-40.0), torch.tensor(40.0)
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        spent = _design_power(variances, middle).sum(1) @ share
        low, high = (middle, high) if spent > _PATCHES_POWER * channel_uses else (low, middle)
    return low


def _rings(rows: int, columns: int, device: torch.device) -> Tensor:
    """Return the ring [rows, columns] of each frequency of a plane: half octaves, by whole numbers alone."""
    vertical, horizontal = (torch.arange(size, device=device).square() for size in (rows, columns))
    squared = vertical[:, None] * columns**2 + horizontal * rows**2  # of the frequency, times (rows columns)^2
    octaves = torch.arange(_RINGS - 1, device=device)
    edges = (rows * columns) ** 2
    return (squared[..., None] << (8 * _RINGS_PER_OCTAVE - octaves).clamp_min(0) >= edges).sum(-1)


def _size_level(patches: int) -> int:
    """Return by how many levels the variance of a plane's first coefficient grows with its size."""
    return round(LEVELS_PER_OCTAVE * math.log2(patches))


def _level(variances: Tensor) -> Tensor:
    return (LEVELS_PER_OCTAVE * variances.clamp_min(_VARIANCE_FLOOR).log2()).round()


def _colours_first(code: _linear.LinearCode) -> Tensor:
    """Return the basis [768, 768] whose first three rows are mean colours, and that is a KLT on both sides of them."""
    basis = code.basis.double()
    covariance = basis.T @ (code.variance.double()[:, None] * basis)
    means = torch.eye(3).repeat_interleave(PATCH_PX**2, dim=1).double() / PATCH_PX
    colours = torch.linalg.eigh(means @ covariance @ means.T).eigenvectors.T.flip(0) @ means
    apart = torch.eye(COEFFICIENTS).double() - means.T @ means
    rest = torch.linalg.eigh(apart @ covariance @ apart - means.T @ means).eigenvectors.T.flip(0)
    return torch.cat([colours, rest[: COEFFICIENTS - COLOURS]]).float()


def _patches(image: Tensor, count: int = 200) -> Tensor:
    """Return up to `count` evenly spread patches of an image as float [n, 3, 16, 16] in [0, 1]."""
    grid = image.unfold(1, PATCH_PX, PATCH_PX).unfold(2, PATCH_PX, PATCH_PX)
    patches = grid.permute(1, 2, 0, 3, 4).flatten(0, 1)
    return patches[:: max(1, len(patches) // count)].float() / 255
