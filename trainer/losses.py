"""Losses, in float32."""

from torch import Tensor

_MSE_FLOOR = 1e-10  # 100 dB


def mse_per_image(x_hat: Tensor, x: Tensor) -> Tensor:
    """Return the mean squared error [B] of images [B, 3, H, W]."""
    return (x_hat.float() - x.float()).square().flatten(1).mean(dim=1)


def balance(mse: Tensor, kind: str, epsilon: float) -> Tensor:
    """Reduce the errors of a batch to one loss.

    The errors at -5 dB are some fifty times those at 20 dB, so their plain mean trains low SNRs only. The gradient of
    log(MSE_i) is that of MSE_i / MSE_i: every sample weighs the same.

    Args:
        mse: [B] mean squared errors.
        kind: "log_mse" or "mse".
        epsilon: floor inside the logarithm.

    Raises:
        ValueError: the kind is unknown.
    """
    if kind == "log_mse":
        return (mse + epsilon).log().mean()
    if kind == "mse":
        return mse.mean()
    raise ValueError(f"loss: unknown kind '{kind}'")


def psnr_db(mse: Tensor) -> Tensor:
    """Return the peak signal-to-noise ratio in dB of errors of [0, 1] images, at most 100 dB."""
    return -10 * mse.clamp_min(_MSE_FLOOR).log10()
