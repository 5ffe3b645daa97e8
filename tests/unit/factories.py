"""Rows, hops, references, methods and cards as several test files need them: when their shape changes, this does alone.

Every function returns one example with the named fields changed.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

from jscc.cards import Card
from jscc.options import ChosenOptions
from jscc.wire.timing import HopRecord
from services.orchestrator.results.rows import MethodInfo, Reference, Row

REPOSITORY = Path(__file__).parents[2]
MS = 1_000_000
"""Nanoseconds."""
DIGEST, IMAGE_DIGEST = "0123456789abcdef", "fe" * 8


def hop(name: str = "encoder", **changes: Any) -> HopRecord:
    """10 ms, of which 1 ms on the network and 2 ms in the queue, and no packing."""
    return replace(HopRecord(name, MS, 2 * MS, MS // 4, 6 * MS, 3 * MS // 4, 0, 1000, 2000), **changes)


def idle_hop(name: str, **times_ms: float) -> HopRecord:
    """No bytes and no time but what is named, such as `queue=5`, in milliseconds."""
    idle = HopRecord(name, 0, 0, 0, 0, 0, 0, 0, 0)
    return replace(idle, **{f"{stage}_ns": round(time_ms * MS) for stage, time_ms in times_ms.items()})


def row(**changes: Any) -> Row:
    """50 ms: three hops of 10 ms, and 20 ms of the orchestrator's own.

    The transmitter is told the channel's SNR and is of the receiver's checkpoint, unless a change says otherwise.
    """
    example = Row(
        dataset="kodak",
        image="kodim01",
        image_digest=IMAGE_DIGEST,
        method="deepjscc",
        transmitter_checkpoint=changes.get("checkpoint", DIGEST),
        checkpoint=DIGEST,
        channel="awgn",
        channel_options=ChosenOptions(),
        snr_db=0.0,
        told_snr_db=changes.get("snr_db", 0.0),
        draw=0,
        seed=7,
        options=ChosenOptions(),
        rho=0.25,
        channel_uses=294912,
        header_bits=25,
        noise_digest="00",
        psnr_db=25.0,
        ssim=0.75,
        ms_ssim=0.875,
        lpips=0.5,
        total_ns=50 * MS,
        load_ns=4 * MS,
        score_ns=15 * MS,
        hops=(hop("encoder", codec_ns=MS), hop("channel"), hop("decoder")),
        started="2025-01-01T00:00:00+00:00",
        warm_up=False,
        header_uses=512.0,
        header_share=0.002,
        peak_to_average_db=12.5,
        lost="",
    )
    return replace(example, **changes)


def reference(**changes: Any) -> Reference:
    """A JPEG file that arrived."""
    example = Reference("kodak", "kodim01", IMAGE_DIGEST, "jpeg_adaptive", 0.0, 0.25, 5000, True, 27.0, 0.8, 0.9, 0.3)
    return example._replace(**changes)


def method_info(**changes: Any) -> MethodInfo:
    """A method without options and learned values, whose checkpoint is that of `row`."""
    example = MethodInfo("deepjscc", "deepjscc", DIGEST, DIGEST, 7_000, 10_000, 0.25, {}, {})
    return example._replace(**changes)


def card(name: str, method: str = "", **fields: Any) -> Card:
    """The card of a checkpoint that is not saved yet, of the method of its name unless another is named."""
    example = Card(name, method or name, digest="", transmitter_digest="", config={})
    return replace(example, **fields)
