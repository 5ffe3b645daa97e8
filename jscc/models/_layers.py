"""Building blocks that more than one method uses."""

import torch
from torch import Tensor, nn

SNR_KNOTS_DB = (-20.0, 40.0)
"""Range of SNRAttention's tables: SNRs outside it act like its ends."""
CONDITIONED_SNR_DB = (-6.0, 21.0)
"""The SNRs of training. Beyond them networks act as at the ends: what they have not seen would only do harm."""
FADED_SNR_DB = (-20.0, 21.0)
"""The same where training has faded channels too."""


class SNRAttention(nn.Module):
    """Gate every channel by the SNR: x * 2 sigmoid(MLP(snr)), the two-layer MLP of the paper, section 3.2.

    The factor 2 makes zero logits the identity. The hidden units are piecewise linear in the SNR with their knots
    spread over SNR_KNOTS_DB, so that `set_table` can fit any smooth table of gates in closed form.
    """

    def __init__(self, channels: int, hidden: int = 64) -> None:
        """Build the gate of `channels` channels; it starts as the identity."""
        super().__init__()
        self.hidden = nn.Linear(1, hidden)
        self.logits = nn.Linear(hidden, channels)
        low, high = SNR_KNOTS_DB
        knots = torch.linspace(low, high, hidden + 1)[:-1]
        with torch.no_grad():
            self.hidden.weight.fill_(1.0)
            self.hidden.bias.copy_(-knots / 10)
        nn.init.zeros_(self.logits.weight)
        nn.init.zeros_(self.logits.bias)

    def forward(self, x: Tensor, snr_db: Tensor) -> Tensor:
        """Gate x [B, C, H, W] by snr_db [B]; the gates are computed in float32 and applied in x's precision."""
        return x * self.gate(snr_db).to(x.dtype)[:, :, None, None]

    def gate(self, snr_db: Tensor) -> Tensor:
        """Return the gates [B, C] in (0, 2) of the SNRs [B]."""
        with torch.autocast(snr_db.device.type, enabled=False):
            snr = snr_db.float().clamp(*SNR_KNOTS_DB)[:, None] / 10
            return 2 * torch.sigmoid(self.logits(torch.relu(self.hidden(snr))))

    @torch.no_grad()
    def set_table(self, snr_db: Tensor, gate: Tensor) -> None:
        """Fit the gates to a table by least squares on the logits.

        Args:
            snr_db: [n] grid of SNRs.
            gate: [n, C] gates in [0, 2); clamped to [0.002, 1.99].
        """
        logits = torch.logit(gate.double().clamp(2e-3, 1.99) / 2)
        features = torch.relu(self.hidden(snr_db.float()[:, None] / 10)).double()
        ones = torch.ones_like(features[:, :1])
        ridge = 1e-4 * torch.eye(features.shape[1] + 1, dtype=torch.float64)
        design = torch.cat([features, ones], dim=1)
        solution = torch.linalg.solve(design.T @ design + ridge, design.T @ logits)
        self.logits.weight.copy_(solution[:-1].T)
        self.logits.bias.copy_(solution[-1])


class ResidualBlock(nn.Module):
    """x + conv(PReLU(conv(x))), 3x3, no normalisation; the last convolution starts at zero."""

    def __init__(self, channels: int, activation: nn.Module | None = None) -> None:
        """Build a block of `channels` channels that starts as the identity; PReLU unless told otherwise."""
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.activation = activation or nn.PReLU(channels)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)
        nn.init.kaiming_normal_(self.first.weight, a=0.25)
        nn.init.zeros_(self.second.weight)
        for bias in (self.first.bias, self.second.bias):
            assert bias is not None
            nn.init.zeros_(bias)

    def forward(self, x: Tensor) -> Tensor:
        """Map [B, C, H, W] to [B, C, H, W]."""
        y: Tensor = x + self.second(self.activation(self.first(x)))
        return y


class SNRTable(nn.Module):
    """One value per channel as a function of the SNR: linear between knots, constant beyond them."""

    KNOTS_DB = tuple(-10.0 + 2.5 * knot for knot in range(15))
    """-10..25 dB."""

    def __init__(self, channels: int) -> None:
        """Build a table of zeros for `channels` channels."""
        super().__init__()
        self.values = nn.Parameter(torch.zeros(len(self.KNOTS_DB), channels))

    def forward(self, snr_db: Tensor) -> Tensor:
        """Return float32 [B, C] for the SNRs [B] in dB."""
        knots = torch.arange(len(self.KNOTS_DB), device=snr_db.device)
        position = (snr_db.float() - self.KNOTS_DB[0]) / (self.KNOTS_DB[1] - self.KNOTS_DB[0])
        weight = (1 - (position.clamp(0, len(knots) - 1)[:, None] - knots).abs()).clamp_min(0)
        with torch.autocast(snr_db.device.type, enabled=False):
            values: Tensor = torch.matmul(weight, self.values.float())
        return values


class FiLM(nn.Module):
    """Scale and shift every channel as functions of the SNR: (1 + gamma(snr)) x + beta(snr); starts as the identity.

    SNRs beyond those of training act like their ends.

    Source: E. Perez et al., "FiLM: Visual Reasoning with a General Conditioning Layer", AAAI 2018.
    """

    def __init__(self, channels: int, trained_snr_db: tuple[float, float] = CONDITIONED_SNR_DB) -> None:
        """Build the modulation of `channels` channels for SNRs of a training."""
        super().__init__()
        self.trained_snr_db = trained_snr_db
        self.scale = SNRTable(channels)
        self.shift = SNRTable(channels)

    def forward(self, x: Tensor, snr_db: Tensor) -> Tensor:
        """Modulate x [B, C, H, W] by snr_db [B], in x's precision."""
        snr_db = snr_db.clamp(*self.trained_snr_db)
        scale, shift = (table(snr_db).to(x.dtype)[:, :, None, None] for table in (self.scale, self.shift))
        modulated: Tensor = x * (1 + scale) + shift
        return modulated
