"""The SNRs of a batch: what every channel that adds noise takes."""

from torch import Tensor

from jscc.limits import MAX_SNR_DB, MIN_SNR_DB


def check(snr_db: Tensor) -> None:
    """Check the range of values on the CPU; reading them from another device would wait for all its work.

    Raises:
        ValueError: one of snr_db [B] is outside its range or not a number.
    """
    if snr_db.device.type != "cpu":
        return
    if not bool(((snr_db >= MIN_SNR_DB) & (snr_db <= MAX_SNR_DB)).all()):
        raise ValueError(f"snr_db: {snr_db.tolist()} is outside {MIN_SNR_DB:g}..{MAX_SNR_DB:g} dB")
