"""The linear analog code: a patch transform with water-filled gains and LMMSE weights, in closed form.

No network beats it by being deeper unless it starts from something as good, so the learned methods start here.

Source: K.-H. Lee and D. Petersen, "Optimal linear coding for vector channels", IEEE Trans. Communications, 1976.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@dataclass(frozen=True)
class LinearCode:
    """A linear code for patches of p x p pixels.

    Attributes:
        basis: [3 p p, 3 p p] orthonormal rows in the order (channel, row, column), by falling variance.
        variance: [3 p p] variance of each coefficient.
        mean: [3] mean colour of the training patches.
    """

    basis: Tensor
    variance: Tensor
    mean: Tensor

    def gains(self, snr_db: Tensor, kept: int) -> tuple[Tensor, Tensor]:
        """Water-fill the power of the first `kept` coefficients.

        Minimises the sum of lambda s2 / (g^2 lambda + s2) under mean(g^2 lambda) = 1, which gives the power
        p = sqrt(s2 lambda / mu) - s2, cut off at zero.

        Args:
            snr_db: [n] channel SNRs.
            kept: number of coefficients, one real symbol each.

        Returns:
            Transmitter gains g [n, kept] and LMMSE receiver weights g lambda / (g^2 lambda + s2) [n, kept].
        """
        lam = self.variance[:kept].double().clamp_min(1e-12)
        s2 = torch.pow(10.0, -snr_db.double() / 10.0)[:, None]
        power = _water_fill(lam[None, :], s2)
        gain = (power / lam).sqrt()
        return gain.float(), (gain * lam / (power + s2)).float()


def _water_fill(lam: Tensor, s2: Tensor) -> Tensor:
    low, high = torch.full_like(s2, -40.0), torch.full_like(s2, 40.0)
    for _ in range(80):  # bisection on log2(1 / mu)
        level = (low + high) / 2
        power = ((s2 * lam * torch.exp2(level)).sqrt() - s2).clamp_min(0)
        over = power.mean(dim=1, keepdim=True) > 1
        low, high = torch.where(over, low, level), torch.where(over, level, high)
    return power


def fit(images: list[Tensor], patch_px: int, patches_per_image: int = 256, seed: int = 0) -> LinearCode:
    """Fit the Karhunen-Loeve transform of image patches.

    Args:
        images: uint8 [3, H, W] each, at least patch_px on both sides.
        patch_px: side of a patch.
        patches_per_image: patches drawn at random from each image.
        seed: seed of the draw.
    """
    generator = torch.Generator().manual_seed(seed)
    size = 3 * patch_px * patch_px
    total, moment = torch.zeros(size).double(), torch.zeros(size, size).double()
    colour, count = torch.zeros(3).double(), 0
    for image in images:
        patches = _draw(image, patch_px, patches_per_image, generator)
        colour = colour + patches.mean(dim=(0, 2))
        rows = patches.flatten(1)
        total, moment, count = total + rows.sum(0), moment + rows.T @ rows, count + len(rows)
    mean = colour / len(images)
    offset = mean.repeat_interleave(patch_px * patch_px)
    average = total / count
    covariance = moment / count - torch.outer(average, offset) - torch.outer(offset, average)
    covariance = covariance + torch.outer(offset, offset)
    variance, vectors = torch.linalg.eigh(covariance)
    return LinearCode(vectors.T.flip(0).float(), variance.flip(0).clamp_min(0).float(), mean.float())


def _draw(image: Tensor, patch_px: int, count: int, generator: torch.Generator) -> Tensor:
    """Return [count, 3, p*p] random patches as float64 in [0, 1]."""
    height_px, width_px = image.shape[1:]
    top = torch.randint(height_px - patch_px + 1, (count,), generator=generator)
    left = torch.randint(width_px - patch_px + 1, (count,), generator=generator)
    steps = torch.arange(patch_px)
    rows, columns = (top[:, None] + steps)[:, :, None], (left[:, None] + steps)[:, None, :]
    return image[:, rows, columns].permute(1, 0, 2, 3).flatten(2).double() / 255


def hadamard_packet(patch_px: int, levels: int) -> Tensor:
    """Return [3 p p, 3 p p]: row j is the packet of the j-th unit patch after `levels` stacked Hadamard steps.

    Columns are (packet channel, row, column), so `basis @ hadamard_packet(...)` turns a basis of patches into a basis
    of packets; the matrix is orthonormal.
    """
    x = torch.eye(3 * patch_px * patch_px).reshape(-1, 3, patch_px, patch_px)
    for level in range(levels):
        x = F.conv2d(x, hadamard_step(3 * 4**level), stride=2)
    return x.flatten(1)


def hadamard_step(channels: int) -> Tensor:
    """Return [4 C, C, 2, 2]: every channel's 2x2 blocks to their four orthonormal Hadamard coefficients."""
    signs = torch.tensor([[1, 1, 1, 1], [1, -1, 1, -1], [1, 1, -1, -1], [1, -1, -1, 1]]).float() / 2
    return torch.einsum("bk,cd->cbdk", signs, torch.eye(channels)).reshape(4 * channels, channels, 2, 2)


def dct_basis(size: int, device: torch.device) -> Tensor:
    """Return the DCT-II matrix [frequency, sample] with orthonormal rows."""
    step = torch.arange(size, dtype=torch.float64, device=device)
    basis = torch.cos(math.pi / size * step[:, None] * (step + 0.5)) * math.sqrt(2 / size)
    basis[0] = math.sqrt(1 / size)
    return basis.float()


def carry(layer: nn.Module, step: Tensor) -> None:
    """Let a strided convolution compute `step`, or a transposed one its adjoint.

    Args:
        layer: Conv2d or ConvTranspose2d of stride 2 whose padding puts a 2x2 block at the offset `padding`.
        step: [outputs, inputs, 2, 2].
    """
    assert isinstance(layer, nn.Conv2d | nn.ConvTranspose2d)
    rows, columns = step.shape[:2]
    used = columns if isinstance(layer, nn.ConvTranspose2d) else rows
    weight = layer.weight.transpose(0, 1) if isinstance(layer, nn.ConvTranspose2d) else layer.weight
    weight[:used] = 0
    start = int(layer.padding[0])
    layer.weight[:rows, :columns, start : start + 2, start : start + 2] = step
    bias(layer)[:used] = 0


def pass_through(layer: nn.Conv2d, scale: Tensor) -> None:
    """Let the first outputs of a 3x3 convolution be the scaled inputs of the same number."""
    count = len(scale)
    layer.weight[:count] = 0
    bias(layer)[:count] = 0
    layer.weight[range(count), range(count), 1, 1] = scale


def bias(layer: nn.Module) -> Tensor:
    """Return the bias of a layer that has one."""
    found = layer.bias
    assert isinstance(found, Tensor)
    return found
