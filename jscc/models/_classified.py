"""The classified linear analog code: a patch transform whose power and channel uses follow each patch's activity.

Every patch of an image belongs to one of a few classes of activity, which is told. The classes' coefficient variances
are a table that both ends have. So both ends know for an image, from the counts of its classes alone, which
coefficients of which patches are worth a channel use, and how much power each gets.

Source: classification as in W.-H. Chen and C. H. Smith, "Adaptive Coding of Monochrome and Color Images", IEEE Trans.
Communications, 1977; power by K.-H. Lee and D. Petersen, "Optimal linear coding for vector channels", 1976.
"""

import torch
from torch import Tensor, nn

from jscc.models import _linear

PATCH_PX = 16
COEFFICIENTS = 3 * PATCH_PX**2
_LEVELS_PER_OCTAVE = 16
"""Variances are whole numbers on a logarithmic scale, exact in float16, so that both ends sort them alike."""
_BISECTIONS = 60
_ACTIVITY_FLOOR = 1e-6


class Tables(nn.Module):
    """What both ends know beforehand; nothing in it is trained by gradients."""

    basis: Tensor
    mean: Tensor
    edges: Tensor
    level: Tensor

    def __init__(self, classes: int) -> None:
        """Build placeholders for `classes` classes; `fit` fills them."""
        super().__init__()
        self.classes = classes
        self.register_buffer("basis", _linear.hadamard_packet(PATCH_PX, 4).T.contiguous())
        self.register_buffer("mean", torch.full((3,), 0.5))
        self.register_buffer("edges", torch.linspace(-4, 4, classes + 1)[1:-1])
        falling = -torch.arange(COEFFICIENTS) // 4
        self.register_buffer("level", (falling + _LEVELS_PER_OCTAVE * torch.arange(classes)[:, None]).float())

    def analyse(self, x: Tensor) -> Tensor:
        """Transform x [B, 3, H, W], sides multiples of 16, to coefficients [B, 768, H/16, W/16]."""
        kernel = self.basis.reshape(-1, 3, PATCH_PX, PATCH_PX)
        return nn.functional.conv2d(x - self.mean[:, None, None], kernel, stride=PATCH_PX)

    def synthesise(self, coefficients: Tensor) -> Tensor:
        """Invert `analyse`."""
        kernel = self.basis.reshape(-1, 3, PATCH_PX, PATCH_PX)
        image = nn.functional.conv_transpose2d(coefficients, kernel, stride=PATCH_PX)
        return image + self.mean[:, None, None]

    def classify(self, x: Tensor) -> Tensor:
        """Return the class [B, H/16, W/16] int64 of every patch of x [B, 3, H, W]."""
        return torch.bucketize(activity(x), self.edges)

    def variance(self) -> Tensor:
        """Return the variances [classes, 768] in float64."""
        return torch.exp2(self.level.double() / _LEVELS_PER_OCTAVE)

    def select(self, classes: Tensor, channel_uses: int) -> Tensor:
        """Choose the coefficients that are sent: those of the largest variances.

        Args:
            classes: [B, h, w] class of every patch.
            channel_uses: how many, per image.

        Returns:
            bool [B, 768, h, w] with channel_uses true entries per image; ties go to the first patches.
        """
        order = self.level.flatten().sort(descending=True, stable=True).indices
        rank = torch.empty_like(order)
        rank[order] = torch.arange(len(order), device=order.device)
        patches = classes.flatten(1)
        place = torch.arange(patches.shape[1], device=classes.device)
        key = rank.reshape(self.classes, -1)[patches] * patches.shape[1] + place[:, None]
        last = key.flatten(1).kthvalue(channel_uses, dim=1).values
        return (key <= last[:, None, None]).transpose(1, 2).reshape(-1, COEFFICIENTS, *classes.shape[1:])

    def power(self, classes: Tensor, chosen: Tensor, noise_power: Tensor) -> Tensor:
        """Water-fill one unit of power per channel use over the chosen coefficients.

        Args:
            classes: [B, h, w].
            chosen: [B, 768, h, w] from `select`.
            noise_power: [B] for which the power is best.

        Returns:
            Power of every coefficient float32 [B, 768, h, w], 0 where it is not sent or not worth any.
        """
        patches = classes.flatten(1)
        member = nn.functional.one_hot(patches, self.classes).double()
        count = member.transpose(1, 2) @ chosen.flatten(2).transpose(1, 2).double()  # [B, classes, 768]
        table = _water_fill(self.variance(), count, noise_power.double()[:, None, None]).float()
        power = table.gather(1, patches[:, :, None].expand(-1, -1, COEFFICIENTS)).transpose(1, 2)
        spread: Tensor = power.reshape(-1, COEFFICIENTS, *classes.shape[1:]) * chosen
        return spread

    def deviation(self, classes: Tensor) -> Tensor:
        """Return the standard deviation float32 [B, 768, h, w] of every coefficient."""
        return self.variance().sqrt().float()[classes].permute(0, 3, 1, 2)

    @torch.no_grad()
    def fit(self, images: list[Tensor]) -> None:
        """Fit basis, classes and variances to training images uint8 [3, H, W]."""
        code = _linear.fit(images, PATCH_PX)
        self.basis.copy_(code.basis)
        self.mean.copy_(code.mean)
        patches = torch.cat([_patches(image) for image in images])
        active = activity(patches)[:, 0, 0]
        self.edges.copy_(torch.quantile(active, torch.linspace(0, 1, self.classes + 1)[1:-1]))
        members = torch.bucketize(active, self.edges)
        for number in range(self.classes):
            spectrum = self.analyse(patches[members == number]).flatten(1)
            level = _LEVELS_PER_OCTAVE * spectrum.square().mean(0).clamp_min(1e-9).log2()
            self.level[number] = level.round()


def activity(x: Tensor) -> Tensor:
    """Return log2 of the energy of every 16x16 patch [B, H/16, W/16] about its own mean colour."""
    mean = nn.functional.avg_pool2d(x, PATCH_PX)
    square = nn.functional.avg_pool2d(x.square(), PATCH_PX)
    energy = (square - mean.square()).sum(dim=1) * PATCH_PX**2
    return energy.clamp_min(_ACTIVITY_FLOOR).log2()


def _water_fill(variance: Tensor, count: Tensor, noise_power: Tensor) -> Tensor:
    """Return the powers [B, classes, 768] that spend sum(count) with counts [B, classes, 768]."""
    total = count.sum(dim=(1, 2), keepdim=True)
    low, high = torch.full_like(total, -60.0), torch.full_like(total, 60.0)
    power = torch.zeros_like(count)
    for _ in range(_BISECTIONS):  # on log2 of the water level
        level = (low + high) / 2
        power = ((noise_power * variance * torch.exp2(level)).sqrt() - noise_power).clamp_min(0)
        over = (power * count).sum(dim=(1, 2), keepdim=True) > total
        low, high = torch.where(over, low, level), torch.where(over, level, high)
    return power


def _patches(image: Tensor, count: int = 400) -> Tensor:
    """Return up to `count` evenly spread patches of an image as float [n, 3, 16, 16] in [0, 1]."""
    grid = image.unfold(1, PATCH_PX, PATCH_PX).unfold(2, PATCH_PX, PATCH_PX)
    patches = grid.permute(1, 2, 0, 3, 4).flatten(0, 1)
    return patches[:: max(1, len(patches) // count)].float() / 255
