"""The in-process link: what its documentation shows, what it refuses, and that the services compute the same."""

import re
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from jscc import channels, checkpoints, link, models
from jscc.channels import UnknownChannelError
from jscc.link import Link, Sent
from jscc.models import deepjscc, kltjscc, model_based
from jscc.models.kltjscc import SendOptions
from jscc.seeds import derive_seed
from jscc.serving.host import Host
from jscc.wire import codec
from jscc.wire.v1 import channel_pb2, decoder_pb2, encoder_pb2
from jscc.wire.v1 import symbols_pb2 as pb
from services.channel.servicer import ChannelServicer
from services.decoder.servicer import DecoderServicer
from services.encoder.servicer import EncoderServicer

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def tiny(tiny_checkpoints: Path) -> Link:
    return link.load("deepjscc", tiny_checkpoints)


@pytest.fixture(scope="module")
def x(smooth_images: list[Tensor]) -> Tensor:
    """Two pictures [2, 3, 48, 48]."""
    return torch.stack(smooth_images[3:5]).float() / 255


def small_link(module: Any, **choice: Any) -> Link:
    chosen = module.Config(**choice)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        halves = module.Transmitter(chosen), module.Receiver(chosen)
    return Link(models.load(module.__name__.rpartition(".")[2]), *halves).requires_grad_(False).eval()


def test_the_example_in_the_readme_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, smooth_images: Any) -> None:
    text = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    block = re.search(r"^```python\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    assert block is not None
    assert len([line for line in block[1].splitlines() if line]) <= 10
    monkeypatch.chdir(tmp_path)
    Image.fromarray(smooth_images[0].permute(1, 2, 0).numpy()).save("photo.jpg")
    found: dict[str, Any] = {}
    exec(block[1], found)
    assert found["x_hat"].shape == found["x"].shape == (1, 3, 48, 48)
    assert (found["x_hat"] - found["x"]).square().mean() < 0.01


def ask(handler: Any, request: Any, array: codec.Array, answer_type: Any) -> tuple[Any, codec.Array]:
    raw = codec.encode(request, array)
    return codec.decode(answer_type, handler(raw, codec.Hop.start(time.perf_counter_ns(), len(raw))))


def test_services_and_link_compute_the_same(tiny_checkpoints: Path, tiny: Link, x: Tensor) -> None:
    seed, settings = derive_seed(0, "folder/a", 7.0, 0), {"THREADS": "1"}
    sent = tiny.encode(x[:1], snr_db=8.0)
    received = tiny.transmit(sent, "awgn", snr_db=7.0, seed=seed)
    x_hat = tiny.decode(received)

    context = pb.RequestContext(method="deepjscc", seed=seed)
    context.checkpoint_digest = checkpoints.cards(tiny_checkpoints)[0].digest
    pixels = np.ascontiguousarray((x[0] * 255).round().byte().permute(1, 2, 0).numpy())
    encoder = EncoderServicer(Host(tiny_checkpoints, "transmitter", "", "cpu", "float32"), settings)
    told, s = ask(
        encoder.encode,
        encoder_pb2.EncodeRequest(context=context, told_snr_db=8.0),
        pixels,
        encoder_pb2.EncodeResponse,
    )
    np.testing.assert_allclose(sent.symbols.numpy(), s, atol=1e-5)
    assert told.ledger.header_bits == int(sent.frame.header_bits[0])
    assert told.ledger.header_uses == int(sent.frame.header_uses[0])
    assert told.ledger.header_share == float(sent.frame.header_share[0])
    air = channel_pb2.TransmitRequest(context=context, channel=pb.ChannelModel(name="awgn", snr_db=7.0))
    arrived, y = ask(ChannelServicer(settings).transmit, air, sent.symbols.numpy(), channel_pb2.TransmitResponse)
    np.testing.assert_array_equal(received.symbols.numpy(), y)
    assert received.state.noise_power.tolist() == [arrived.state.noise_power]
    decoder = DecoderServicer(Host(tiny_checkpoints, "receiver", "", "cpu", "float32"), settings)
    size = pb.ImageSize(height_px=48, width_px=48)
    request = decoder_pb2.DecodeRequest(context=context, size=size, state=arrived.state)
    answer, shown = ask(decoder.decode, request, y, decoder_pb2.DecodeResponse)
    off = np.abs(shown - (x_hat[0] * 255).permute(1, 2, 0).numpy())
    assert off.max() < 0.51
    assert answer.lost == tiny.receive(received).lost[0] == ""


@pytest.mark.parametrize("name", channels.names())
def test_images_of_a_batch_meet_the_noise_of_consecutive_seeds(tiny: Link, x: Tensor, name: str) -> None:
    sent = tiny.encode(x, snr_db=10.0)
    both = tiny.transmit(sent, name, snr_db=torch.tensor([0.0, 20.0]), seed=5)
    for row, snr_db in enumerate((0.0, 20.0)):
        alone = tiny.transmit(tiny.encode(x[row : row + 1], snr_db=10.0), name, snr_db, seed=5 + row)
        torch.testing.assert_close(both.symbols[row : row + 1], alone.symbols, atol=1e-4, rtol=0)
        assert both.state.noise_power[row] == alone.state.noise_power[0]


def test_what_is_told_is_not_what_the_channel_has(tiny: Link, x: Tensor) -> None:
    told = [tiny.encode(x, snr_db).symbols for snr_db in (0.0, 20.0)]
    assert not torch.equal(*told)
    received = tiny.transmit(tiny.encode(x, snr_db=20.0), "awgn", snr_db=0.0)
    assert received.state.noise_power.tolist() == [1.0, 1.0]
    assert tiny.transmit(tiny.encode(x, 20.0), "noiseless", snr_db=0.0).symbols.equal(told[1])


def test_the_rate_is_that_of_the_image(tiny: Link) -> None:
    sent = tiny.encode(torch.zeros(1, 3, 16, 16), 0.0)
    assert sent.rho == (48 + 128) / (3 * 16 * 16)  # 48 latent channels at 1/16, and a word for the header
    assert tiny.encode(torch.zeros(1, 3, 1, 1), 0.0).rho == (48 + 128) / 3  # padded to the same


def test_a_link_passes_gradients(tiny: Link, x: Tensor) -> None:
    x = x.clone().requires_grad_()
    tiny.decode(tiny.transmit(tiny.encode(x, 10.0), "awgn", 10.0)).mean().backward()
    assert x.grad is not None
    assert x.grad.any()


def test_options_are_those_of_the_call_or_of_the_link() -> None:
    hybrid = small_link(kltjscc, classes=2, transmitter_channels=4, receiver_channels=(4, 4), receiver_blocks=(1, 1))
    x = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    chosen = hybrid.encode(x, 5.0, SendOptions(header_margin_db=9.0)).frame
    default = hybrid.encode(x, 5.0).frame
    assert chosen.header_share > default.header_share
    hybrid.send_options = SendOptions(header_margin_db=9.0)
    assert hybrid.encode(x, 5.0).symbols.equal(chosen.symbols)
    assert hybrid.encode(x, 5.0, SendOptions()).symbols.equal(default.symbols)
    unrolled = small_link(model_based, stage_channels=(4, 4, 4), latent_channels=4, iterations=2, denoiser_channels=4)
    for denoiser in unrolled.receiver.denoisers:  # type: ignore[attr-defined, union-attr]
        torch.nn.init.constant_(denoiser.last.bias, 0.1)  # type: ignore[union-attr, arg-type]
    received = unrolled.transmit(unrolled.encode(x, 5.0), "awgn", 5.0)
    fewer, all_of_them = unrolled.decode(received, model_based.ReceiveOptions(K=1)), unrolled.decode(received)
    assert not torch.equal(fewer, all_of_them)
    unrolled.receive_options = model_based.ReceiveOptions(K=1)
    assert torch.equal(fewer, unrolled.decode(received))


GREY = torch.full((1, 3, 16, 16), 0.5)


@pytest.mark.parametrize(
    ("x", "snr_db", "message"),
    [
        (GREY[0], 0.0, r"x: torch.float32 \[3, 16, 16\], expected float32 \[B, 3, 1..4096, 1..4096\]"),
        (GREY[:, :1], 0.0, r"x: torch.float32 \[1, 1, 16, 16\], expected"),
        (GREY[:0], 0.0, r"x: torch.float32 \[0, 3, 16, 16\], expected"),
        (torch.zeros(1, 3, 16, 4097), 0.0, r"x: torch.float32 \[1, 3, 16, 4097\], expected"),
        ((GREY * 255).byte(), 0.0, r"x: torch.uint8 \[1, 3, 16, 16\], expected"),
        (GREY * 255, 0.0, "x: values from 127.5 to 127.5, expected 0..1"),
        (GREY * float("nan"), 0.0, "x: values from nan to nan, expected 0..1"),
        (GREY, 61.0, r"snr_db: 61.0 is outside -30..60 dB"),
        (GREY, float("nan"), r"snr_db: nan is outside -30..60 dB"),
        (GREY, torch.zeros(2), r"snr_db: \[2\], expected a number or \[1\]"),
    ],
)
def test_images_and_snrs_that_do_not_fit_are_refused(tiny: Link, x: Tensor, snr_db: Any, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}"):
        tiny.encode(x, snr_db)


def test_other_input_that_does_not_fit_is_refused(tiny: Link, tiny_checkpoints: Path) -> None:
    sent = tiny.encode(GREY, 0.0)
    with pytest.raises(
        ValueError, match=r"^options: SendOptions\(.*margin_db=.*\) are not send options of 'deepjscc'$"
    ):
        tiny.encode(GREY, 0.0, SendOptions())
    with pytest.raises(ValueError, match=r"^options: ReceiveOptions\(K=1\) are not receive options of 'deepjscc'$"):
        tiny.decode(tiny.transmit(sent, "awgn", 0.0), model_based.ReceiveOptions(K=1))
    with pytest.raises(ValueError, match=r"^precision: 'float16' is not one of float32, bfloat16$"):
        tiny.encode(GREY, 0.0, precision="float16")
    with pytest.raises(UnknownChannelError, match=r"^channel: unknown channel 'water'"):
        tiny.transmit(sent, "water", 0.0)
    with pytest.raises(ValueError, match=r"^channel awgn: unknown key 'speed'"):
        tiny.transmit(sent, "awgn", 0.0, options={"speed": 1})
    for seed in (-1, 2**63):
        with pytest.raises(ValueError, match=rf"^seed: {seed} is outside 0..2\^63 - 1$"):
            tiny.transmit(sent, "awgn", 0.0, seed)
    cut = Sent(sent.frame._replace(symbols=sent.symbols[:, 1:]), sent.size_px)
    with pytest.raises(ValueError, match=r"^symbols: 175 symbols, expected 176"):
        tiny.decode(tiny.transmit(cut, "awgn", 0.0))
    with pytest.raises(models.UnknownMethodError, match=r"^method: no checkpoint 'none' in .* \(known: deepjscc\)$"):
        link.load("none", tiny_checkpoints)


def test_a_method_that_is_only_another_receiver_gets_the_transmitter_that_it_listens_to() -> None:
    refined = link.load("diffusion")
    assert isinstance(refined.transmitter, deepjscc.Transmitter)
    expected = link.load("deepjscc").transmitter.state_dict()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in refined.transmitter.state_dict().items())


def test_a_link_takes_the_checkpoints_that_services_and_command_line_take(
    tiny_checkpoints: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of the folder that one stands in, if it has any."""
    (tmp_path / "checkpoints").symlink_to(tiny_checkpoints)
    monkeypatch.chdir(tmp_path)
    expected = link.load("deepjscc", tiny_checkpoints).state_dict()
    found = link.load("deepjscc").state_dict()
    assert {name: tensor.shape for name, tensor in found.items()} == {n: w.shape for n, w in expected.items()}
