"""Every method in a small configuration, and what crosses its link, for the contract tests."""

import contextlib
import dataclasses
from collections.abc import Iterator
from functools import cache
from typing import Any

import torch
from torch import Tensor

from jscc import models
from jscc.channels.awgn import Awgn
from jscc.draws import Draws
from jscc.grid import PLAIN, Grid
from jscc.models import _contract
from jscc.models._contract import Decoded, Score, SomeConfig, SomeReceiver, SomeTransmitter
from jscc.signals import ChannelState, Layout, Side


@cache
def small(name: str) -> SomeConfig:
    """Return the default Config with every whole number above 8 halved as often as the Config allows.

    What is asked here does not depend on widths: millions of parameters would only cost time.
    """
    chosen, smaller = None, models.load(name).config_type()
    while chosen != smaller:
        chosen = smaller
        for field in dataclasses.fields(smaller):
            with contextlib.suppress(ValueError):
                smaller = dataclasses.replace(smaller, **{field.name: halved(getattr(smaller, field.name))})
    return smaller


def halved(value: Any) -> Any:
    if isinstance(value, tuple):
        return tuple(map(halved, value))
    return value // 2 if type(value) is int and value > 8 else value


@cache
def halves(name: str) -> tuple[SomeTransmitter, SomeReceiver]:
    """Return both halves of a small Config, with every weight moved a little.

    Fresh networks hold zeros, such as gates that do not look at the SNR yet; trained ones do not.
    """
    method = models.load(name)
    generator = torch.Generator().manual_seed(1)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        transmitter, receiver = method.transmitter_type(small(name)), method.receiver_type(small(name))
    with torch.no_grad():
        for parameter in (*transmitter.parameters(), *receiver.parameters()):
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=generator))
    return transmitter.eval(), receiver.eval()


@contextlib.contextmanager
def in_training(name: str) -> Iterator[tuple[SomeTransmitter, SomeReceiver]]:
    """Lend both halves in training mode, without gradients before and after."""
    for half in halves(name):
        half.train()
    try:
        yield halves(name)
    finally:
        for half in halves(name):
            half.zero_grad(set_to_none=True)
            half.eval()


def batch(height_px: int, width_px: int, count: int = 2) -> Tensor:
    return torch.rand(count, 3, height_px, width_px, generator=torch.Generator().manual_seed(0))


def send_options(name: str) -> _contract.SendOptions:
    return models.load(name).send_options_type()


def receive_options(name: str) -> _contract.ReceiveOptions:
    return models.load(name).receive_options_type()


def layout_of(name: str, height_px: int, width_px: int, grid: Grid = PLAIN) -> Layout:
    return small(name).layout(height_px, width_px, send_options(name), grid)


def add_noise(s: Tensor, snr_db: Tensor, seed: int = 2) -> tuple[Tensor, ChannelState]:
    channel = Awgn(snr_db)
    y, truth = channel.apply(s, channel.draw(s.shape, Draws(torch.Generator().manual_seed(seed))))
    return y, truth.state()


@torch.no_grad()
def send(name: str, x: Tensor, *snrs_db: float) -> tuple[Tensor, Side, Tensor]:
    transmitter, receiver = halves(name)
    snr_db = torch.tensor(snrs_db)
    s, side = transmitter(x, snr_db, send_options(name))
    return s, side, receiver(*received(s, side, snr_db), receive_options(name))


def rows_of(side: Side, rows: list[int]) -> Side:
    """Return the side information of some images of a batch."""
    parts = {name: getattr(side, name)[rows] for name in ("codes", "snr_code", "margin_code", "body_bytes")}
    return dataclasses.replace(side, **parts, body=tuple(side.body[row] for row in rows) if side.body else ())


def through_the_air(name: str, x: Tensor, *snrs_db: float) -> Decoded:
    """Return what becomes of images by nothing but symbols: told SNR and true SNR are one."""
    transmitter, receiver = halves(name)
    snr_db, layout = torch.tensor(snrs_db), layout_of(name, *x.shape[-2:])
    with torch.no_grad():
        sent = transmitter.send(x, snr_db, send_options(name))
        y, state = add_noise(sent.symbols, snr_db)
        return receiver.receive(y, state, layout, (x.shape[-2], x.shape[-1]), receive_options(name))


def received(s: Tensor, side: Side, snr_db: Tensor) -> tuple[Tensor, Side, ChannelState]:
    y, state = add_noise(s, snr_db)
    return y, side, state


def squared_error(x_hat: Tensor, x: Tensor) -> Score:
    loss = (x_hat - x).square().mean()
    return Score(loss, {"squared_error": loss})
