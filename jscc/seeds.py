"""Seeds: what everything random is derived from."""

import hashlib


def derive_seed(root_seed: int, image_id: str, snr_db: float, draw: int) -> int:
    """Return the 63-bit seed of one noise realisation.

    It depends on nothing but its arguments: not on the method, the replica, the order or the batch, so two methods
    that send equally many symbols meet the same noise.

    Args:
        root_seed: seed of the whole sweep.
        image_id: data set and file name, such as "kodak/kodim01".
        snr_db: channel SNR in dB; equal to 1e-6 dB means equal.
        draw: number of the noise draw, from 0.
    """
    key = f"{root_seed}|{image_id}|{round(snr_db, 6) + 0.0:.6f}|{draw}".encode()
    return int.from_bytes(hashlib.blake2b(key, digest_size=8).digest(), "little") >> 1
