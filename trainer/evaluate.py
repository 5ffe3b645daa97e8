"""Quality of a link on whole images, with the noise and the 8-bit rounding of the services."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from jscc import link as links
from jscc.data import Dataset
from jscc.images import Pixels, read_image
from jscc.link import Link
from jscc.quality import scores
from jscc.seeds import derive_seed
from trainer import run_folder
from trainer.build import build, card_path

SNRS_DB = (-5.0, 0.0, 5.0, 10.0, 15.0, 20.0)


@dataclass(frozen=True)
class SnrQuality:
    """Quality at one SNR.

    Attributes:
        snr_db: channel SNR.
        psnr_db: mean over images of the PSNR of the 8-bit image, which is at most 100 dB.
        ms_ssim: mean over images; None when an image is too small.
    """

    snr_db: float
    psnr_db: float
    ms_ssim: float | None


@torch.inference_mode()
def transmit(
    link: Link, pixels: Pixels, image_id: str, snr_db: float, precision: str, told_above_db: float = 0.0
) -> Pixels:
    """Send one image, with the noise that every method of equal k meets at (root seed 0, image, SNR, draw 0).

    Args:
        link: in evaluation mode.
        pixels: [H, W, 3] uint8.
        image_id: data set and file, such as "kodak/kodim01".
        snr_db: channel SNR.
        precision: of the networks.
        told_above_db: by how much the SNR that the transmitter is told is above the channel's.

    Returns:
        The received image [H, W, 3] uint8.
    """
    x = (torch.from_numpy(pixels).to(link.device).permute(2, 0, 1)[None].float() / 255).contiguous()
    sent = link.encode(x, snr_db + told_above_db, precision=precision)
    heard = link.transmit(sent, "awgn", snr_db, derive_seed(0, image_id, snr_db, 0))
    x_hat = link.decode(heard, precision=precision)
    received: Pixels = x_hat[0].clamp(0, 1).mul(255).round().byte().permute(1, 2, 0).contiguous().cpu().numpy()
    return received


def receive(link: Link, images: Mapping[str, Pixels], snr_db: float, precision: str) -> list[Pixels]:
    """Send images by id and return what is received; sets evaluation mode."""
    link.eval()
    return [transmit(link, x, name, snr_db, precision) for name, x in images.items()]


def mean_psnr_db(originals: Iterable[Pixels], received: Iterable[Pixels]) -> float:
    """Return the mean PSNR in dB over pairs of images [H, W, 3] uint8."""
    found = [scores.psnr_db(x, x_hat) for x, x_hat in zip(originals, received, strict=True)]
    return sum(found) / len(found)


def evaluate(
    link: Link, dataset: Dataset, snrs_db: Sequence[float], precision: str, told_above_db: float = 0.0
) -> list[SnrQuality]:
    """Score a link on a data set, one whole image at a time, and print the table as it grows.

    Args:
        link: sets evaluation mode.
        dataset: at least one image.
        snrs_db: channel SNRs, one row each.
        precision: of the networks.
        told_above_db: by how much the SNRs that the transmitter is told are above the channel's.
    """
    link.eval()
    images = {reference.id: read_image(reference.path) for reference in dataset.images}
    scorer, rows = scores.Scorer(None), []
    for snr_db in snrs_db:
        received = (transmit(link, x, name, snr_db, precision, told_above_db) for name, x in images.items())
        found = [scorer.score(x, x_hat) for x, x_hat in zip(images.values(), received, strict=True)]
        similar = [item.ms_ssim for item in found if item.ms_ssim is not None]
        mean_ms_ssim = sum(similar) / len(similar) if len(similar) == len(found) else None
        rows.append(SnrQuality(snr_db, sum(item.psnr_db for item in found) / len(found), mean_ms_ssim))
        print(format_row(rows[-1]), flush=True)
    return rows


def format_row(row: SnrQuality) -> str:
    """Return a row of the printed table."""
    similar = "-" if row.ms_ssim is None else f"{row.ms_ssim:.4f}"
    return f"{row.snr_db:6.1f} dB   PSNR {row.psnr_db:6.2f} dB   MS-SSIM {similar}"


def load_link(path: Path, device: torch.device) -> Link:
    """Load a link from a run folder (averaged weights) or from `<folder>/<name>` of a shipped checkpoint.

    Raises:
        ValueError: it is neither, or it is damaged.
    """
    if path.is_dir():
        link = build(run_folder.load_recipe(path).method, 0, str(path / run_folder.RECIPE_FILE))
        link.load_state_dict(run_folder.load_state(path)["average"])
    else:
        link = links.load(card_path(path).stem, path.parent)
    link.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return link.to(device).eval()
