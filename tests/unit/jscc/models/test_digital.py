"""Digital transmission: the link from bytes to bytes, and what the receiver shows above and below the cliff."""

import dataclasses
import importlib.util
import math
import subprocess
import sys
from functools import cache
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from jscc import cancel, checkpoints, models
from jscc.baselines import codecs, ideal, mcs, phy
from jscc.baselines._codecs import NAMES
from jscc.cancel import AbandonedError, Cancellation
from jscc.channels.awgn import Awgn
from jscc.data import samples
from jscc.draws import Draws
from jscc.framing import frame
from jscc.images import Pixels, read_image
from jscc.models import digital
from jscc.models._contract import ReceiveOptions
from jscc.models.digital import (
    ADAPTIVE,
    CODE_BITS,
    NOTHING,
    SCALE_LOG2,
    Config,
    Header,
    Receiver,
    SendOptions,
    Transmitter,
)
from jscc.quality.scores import psnr_db
from jscc.serving.host import Host
from jscc.signals import ChannelState, Layout, Side, dequantise_log2
from jscc.wire import convert

SIXTEEN_QAM = next(
    index for index, scheme in enumerate(mcs.TABLE) if scheme.bits_per_symbol == 2 and scheme.rate_1024 > 480
)
"""Place of a 16QAM scheme of about rate 1/2."""


def astronaut() -> Tensor:
    """Return a photograph [1, 3, 512, 512] of 8 bits."""
    pixels = read_image(samples.FOLDER / "astronaut.png")
    return torch.from_numpy(pixels.astype(np.float32) / 255).permute(2, 0, 1)[None]


@cache
def photo() -> Tensor:
    """Return a natural image [1, 3, 128, 192] of 8 bits."""
    return torch.from_numpy(
        read_image(samples.FOLDER / "astronaut.png")[:128, 100:292].astype(np.float32) / 255
    ).permute(2, 0, 1)[None]


def pixels_of(x: Tensor) -> Pixels:
    pixels: Pixels = (x[0] * 255).round().byte().permute(1, 2, 0).numpy()
    return pixels


def encode(
    x: Tensor, snr_db: float, scheme: int = ADAPTIVE, codec: str = "jpeg", margin_db: float = 0.0
) -> tuple[Tensor, Side]:
    """Return symbols and side information; JPEG is the quickest."""
    options = SendOptions(mcs=scheme, codec=codec, margin_db=margin_db)
    s, side = Transmitter(Config())(x, torch.full((len(x),), snr_db), options)
    return s, side


def decode(y: Tensor, side: Side, noise_power: float) -> Tensor:
    state = ChannelState(torch.full((len(y),), noise_power))
    x_hat: Tensor = Receiver(Config())(y, side, state, ReceiveOptions())
    return x_hat


def reconstruct(y: Tensor, side: Side, noise_power: float) -> tuple[Tensor, Tensor]:
    state = ChannelState(torch.full((len(y),), noise_power))
    return Receiver(Config()).reconstruct(y, side, state, ReceiveOptions())


def cross(x: Tensor, snr_db: float, scheme: int = ADAPTIVE, seed: int = 0) -> Tensor:
    s, side = encode(x, snr_db, scheme)
    channel = Awgn(torch.full((len(x),), snr_db))
    y, truth = channel.apply(s, channel.draw(s.shape, Draws(torch.Generator().manual_seed(seed))))
    return decode(y, side, float(truth.noise_power[0]))


def mean_colour(x: Tensor) -> Tensor:
    return torch.from_numpy(ideal.mean_colour(pixels_of(x))).permute(2, 0, 1)[None] / 255


@pytest.mark.slow
@pytest.mark.parametrize("codec", ["jpeg", "webp", "avif", "webp_half"])
def test_without_noise_the_receiver_shows_what_the_codec_does(codec: str) -> None:
    """The best file that fits the frame, and no better one."""
    s, side = encode(photo(), 12.0, codec=codec)
    index = Header.of(side.codes[0]).scheme
    limit = phy.divide(mcs.TABLE[index], s.shape[1]).capacity_bytes
    pixels, fitting = pixels_of(photo()), []
    for way in codecs.ways(codec):
        files = [codecs.encode(pixels, codec, q, way) for q in codecs.qualities(codec)]
        fitting.append([codecs.decode(file, codec, 128, 192) for file in files if len(file) <= limit][-1])
    best = max(fitting, key=lambda made: psnr_db(pixels, made))
    np.testing.assert_array_equal(pixels_of(decode(s, side, 0.0)), best)


@pytest.mark.slow
def test_a_fixed_scheme_has_a_cliff() -> None:
    """The same picture from the threshold on, the mean colour 1.5 dB below."""
    threshold_db = mcs.TABLE[SIXTEEN_QAM].threshold_db
    best, just = (cross(photo(), snr_db, SIXTEEN_QAM) for snr_db in (threshold_db + 10, threshold_db + 0.5))
    assert torch.equal(best, just)
    s, side = encode(photo(), 0.0, SIXTEEN_QAM)
    assert torch.equal(best, decode(s, side, 0.0))
    assert float((best - photo()).square().mean()) < 0.1 * float((mean_colour(photo()) - photo()).square().mean())
    torch.testing.assert_close(cross(photo(), threshold_db - 1.5, SIXTEEN_QAM), mean_colour(photo()))


@pytest.mark.slow
def test_quality_rises_with_the_snr_that_the_transmitter_is_told() -> None:
    x = torch.from_numpy(read_image(samples.FOLDER / "astronaut.png")[:256, :384].astype(np.float32) / 255).permute(
        2, 0, 1
    )[None]
    errors = [float((cross(x, snr_db) - x).square().mean()) for snr_db in (-5.0, 0.0, 5.0, 10.0, 15.0, 20.0)]
    assert all(later < earlier for earlier, later in pairwise(errors))
    assert errors[0] <= float((mean_colour(x) - x).square().mean()) + 1e-9


@pytest.mark.slow
def test_images_of_a_batch_have_their_own_schemes_and_files() -> None:
    x, snr_db = torch.cat([photo(), photo().flip(3), photo()]), torch.tensor([20.0, 10.0, -30.0])
    s, side = Transmitter(Config())(x, snr_db, SendOptions(codec="jpeg"))
    assert side.codes[:, 0].tolist() == [mcs.choose(20.0), mcs.choose(10.0), NOTHING]
    torch.testing.assert_close(s.square().mean(dim=1), torch.ones(3), atol=1e-5, rtol=0)
    x_hat = decode(s, side, 0.0)
    for row in range(3):
        alone, told = encode(x[row : row + 1], float(snr_db[row]))
        assert torch.equal(s[row : row + 1], alone)
        assert torch.equal(x_hat[row : row + 1], decode(alone, told, 0.0))
    torch.testing.assert_close(x_hat[2:], mean_colour(photo()))


def test_the_told_scale_undoes_the_normalisation() -> None:
    s, side = encode(photo(), 25.0)
    header = Header.of(side.codes[0])
    division = phy.divide(mcs.TABLE[header.scheme], s.shape[1])
    scale = float(dequantise_log2(torch.tensor(float(header.scale)), *SCALE_LOG2, CODE_BITS))
    amplitudes = torch.arange(-15, 16, 2) / math.sqrt(85)  # 16 of them, of power 1
    assert division.mcs.bits_per_symbol == 4
    off = (scale * s[0, :, None] - amplitudes).abs().min(dim=1).values
    assert float(off.max()) < 0.0015 * 15 / math.sqrt(85)  # half a step of the scale, 0.14 %, at the largest amplitude


@pytest.mark.parametrize(
    ("height_px", "width_px", "rho", "symbols", "word_uses"),
    [
        (1, 1, 0.25, 512, 128),  # so many at least
        (17, 33, 0.25, 512, 128),
        (100, 100, 0.25, 7500, 128),
        (512, 768, 0.25, 294912, 512),
        (512, 768, 0.125, 147456, 256),
    ],
)
def test_cost_of_an_image(height_px: int, width_px: int, rho: float, symbols: int, word_uses: int) -> None:
    """Six codes of 8 bits and 17 of told SNR and margin are two words of 48."""
    layout = Config(rho).layout(height_px, width_px, SendOptions())
    assert layout == Layout(symbols, symbols - 2 * word_uses, 6, 8, 2, word_uses, has_body=False)


@pytest.mark.parametrize("snr_db", [-30.0, 60.0])
def test_an_image_whose_file_does_not_fit_is_its_mean_colour(snr_db: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(digital, "_LEAST_USES", 260)  # 4 symbols beside the words
    x = torch.tensor([10.0, 20.0, 254.0]).div(255)[None, :, None, None].expand(2, 3, 1, 2)
    s, side = encode(x, snr_db)
    assert side.codes[:, 0].tolist() == [NOTHING, NOTHING]
    torch.testing.assert_close(s.square().mean(dim=1), torch.ones(2))
    torch.testing.assert_close(decode(s, side, 0.0), x)
    assert reconstruct(s, side, 0.0)[1].tolist() == [True, True]


def test_no_image_is_begun_that_nobody_waits_for() -> None:
    s, side = encode(photo(), 8.0)
    caller = Cancellation()
    caller.cancel()
    for half in (lambda: encode(photo(), 8.0), lambda: decode(s, side, 0.0)):
        with cancel.working_for(caller), pytest.raises(AbandonedError):
            half()


def test_what_crosses_the_air_is_enough() -> None:
    """Symbols and image size; told SNR, margin and six codes are 65 bits of information."""
    s, side = encode(photo(), 8.0)
    sent = Transmitter(Config()).send(photo(), torch.tensor([8.0]), SendOptions(codec="jpeg"))
    assert sent.header_bits.tolist() == [9 + 8 + 6 * 8]
    layout = Config().layout(128, 192, SendOptions())
    state = ChannelState(torch.tensor([0.01]))
    x_hat, lost = Receiver(Config()).receive(sent.symbols, state, layout, (128, 192), ReceiveOptions())
    assert lost == ("",)
    assert torch.equal(x_hat, decode(s, side, 0.0))
    chosen = SendOptions(mcs=SIXTEEN_QAM, codec="vvc")
    assert convert.options_from_wire(SendOptions, convert.options_in_force(chosen)) == chosen


def test_below_its_cliff_the_file_is_lost_and_said_to_be() -> None:
    """10 dB less than was told: the header stands it by its margin, the file does not, and the mean colour is shown."""
    options = SendOptions(header_margin_db=12.0, codec="jpeg")
    sent = Transmitter(Config()).send(photo(), torch.tensor([12.0]), options).symbols
    y = sent + 10**-0.1 * torch.randn(sent.shape, generator=torch.Generator().manual_seed(0))
    layout, state = Config().layout(128, 192, options), ChannelState(torch.tensor([10**-0.2]))
    x_hat, lost = Receiver(Config()).receive(y, state, layout, (128, 192), ReceiveOptions())
    assert lost == ("payload",)
    torch.testing.assert_close(x_hat, mean_colour(photo()))


def test_nothing_depends_on_global_randomness_or_the_callers_modes() -> None:
    results, x = [], photo()[..., :100]  # a size of its own, so that the code is first built under inference mode
    for seed in range(3):
        torch.manual_seed(seed)
        with torch.inference_mode(seed == 0), torch.autocast("cpu", torch.bfloat16, enabled=seed == 1):
            s, side = encode(x, 8.0)
            results.append((s, side.codes, decode(s, side, 0.1)))
    for result in results[1:]:
        assert all(torch.equal(*pair) for pair in zip(results[0], result, strict=True))
    assert torch.is_grad_enabled()


def test_wrong_schemes_and_truncated_symbols_are_refused() -> None:
    s, side = encode(photo(), 8.0)
    with pytest.raises(ValueError, match=r"^symbols: 18174 symbols, expected 18176 "):  # 18432 less two words
        decode(s[:, :-2], side, 0.0)
    codes = side.codes.clone()
    codes[0, 0] = len(mcs.TABLE)
    with pytest.raises(
        ValueError, match=rf"^side\.codes: no modulation-and-coding scheme {len(mcs.TABLE)}, there are "
    ):
        decode(s, dataclasses.replace(side, codes=codes), 0.0)
    codes = side.codes.clone()
    codes[0, 1] = NOTHING
    with pytest.raises(ValueError, match=rf"^side\.codes: no codec {NOTHING}, there are {len(NAMES)}$"):
        decode(s, dataclasses.replace(side, codes=codes), 0.0)


def test_another_scheme_than_was_sent_gives_the_mean_colour() -> None:
    s, side = encode(photo(), 8.0, SIXTEEN_QAM)
    codes = side.codes.clone()
    codes[0, 0] = SIXTEEN_QAM - 1
    torch.testing.assert_close(decode(s, dataclasses.replace(side, codes=codes), 0.0), mean_colour(photo()))


@pytest.mark.parametrize("scheme", [-2, len(mcs.TABLE)])
def test_a_scheme_out_of_range_is_named(scheme: int) -> None:
    with pytest.raises(ValueError, match=rf"^mcs must be in -1\.\.{len(mcs.TABLE) - 1}, got {scheme}"):
        SendOptions(mcs=scheme)


@pytest.mark.parametrize("rho", [0.0, 1.01, math.nan])
def test_a_config_out_of_range_names_the_field(rho: float) -> None:
    with pytest.raises(ValueError, match=r"^rho must be "):
        Config(rho)


def test_an_unknown_codec_is_named_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"^codec must be one of avif, jpeg, webp, .*, got 'bpg'$"):
        SendOptions(codec="bpg")


def test_the_header_tells_what_was_chosen() -> None:
    """Scheme, codec and mean colour as asked for; a header of codes is the same header."""
    _, side = encode(photo(), 8.0, SIXTEEN_QAM, "webp")
    header = Header.of(side.codes[0])
    assert (header.scheme, NAMES[header.codec]) == (SIXTEEN_QAM, "webp")
    assert header[-3:] == tuple((255 * mean_colour(photo())[0, :, 0, 0]).round().int().tolist())
    assert torch.equal(header.codes(), side.codes[0])


def test_the_scheme_is_one_that_the_power_beside_the_header_allows() -> None:
    """The header of a small image takes 0.1 dB of the power: less than 0.2 dB is left where 0.25 dB are told."""
    _, side = encode(photo(), 0.25)
    left = float(frame.left_to_method(Config().layout(128, 192, SendOptions()), side).noise_power)
    assert 0.1 < -10 * math.log10(left) < 0.2 == mcs.TABLE[mcs.choose(0.25)].threshold_db
    assert Header.of(side.codes[0]).scheme == mcs.choose(0.25) - 1


def test_a_margin_is_taken_off_the_told_snr() -> None:
    careful, without, lower = (encode(photo(), *told)[1] for told in ((8.0, -1, "jpeg", 2.0), (8.0,), (6.0,)))
    schemes = [Header.of(side.codes[0]).scheme for side in (careful, without, lower)]
    assert schemes[0] == pytest.approx(schemes[2], abs=1)  # the header's share of the power differs a little
    assert schemes[0] < schemes[1] - 2


@pytest.mark.parametrize("half", ["transmitter", "receiver"])
def test_a_codec_that_is_not_installed_is_said_by_the_half_that_needs_it(
    half: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    s, side = encode(photo(), 8.0)
    codes = side.codes.clone()
    codes[0, 1] = NAMES.index("hevc")
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == "imageio_ffmpeg" else found(name, *rest)
    )
    reason = r"^codec hevc: imageio-ffmpeg is not installed: pip install 'jscc-link\[codecs\]'$"
    told = dataclasses.replace(side, codes=codes)
    works = {"transmitter": lambda: encode(photo(), 8.0, codec="hevc"), "receiver": lambda: decode(s, told, 0.0)}
    with pytest.raises(LookupError, match=reason):
        works[half]()


WITHOUT_SIONNA = """
import importlib.util, sys
found = importlib.util.find_spec
importlib.util.find_spec = lambda name, *rest: None if name == "sionna" else found(name, *rest)
from jscc import models
assert "digital" in models.names()
method = models.load("digital")
method.config_type().layout(512, 768, method.send_options_type())
assert not {"sionna", "PIL"} & set(sys.modules)
for half in (method.transmitter_type, method.receiver_type):
    try:
        half(method.config_type())
    except ModuleNotFoundError as error:
        print(error)
"""


@pytest.mark.slow
def test_without_the_extra_the_method_can_be_named_but_not_built() -> None:
    result = subprocess.run([sys.executable, "-c", WITHOUT_SIONNA], capture_output=True, text=True, check=True)
    assert result.stdout.split("\n")[:2] == ["digital transmission needs Sionna: pip install 'jscc-link[digital]'"] * 2


def test_a_host_without_the_extra_serves_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("digital", "softcast"):
        method = models.load(name)
        config = method.config_type()
        card = checkpoints.Card(name, name, "", "", dataclasses.asdict(config))
        checkpoints.save(tmp_path, card, method.transmitter_type(config), method.receiver_type(config))
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == "sionna" else found(name, *rest)
    )
    reason = "digital transmission needs Sionna: pip install 'jscc-link[digital]'"
    for half in ("transmitter", "receiver"):
        host = Host(tmp_path, half, "", "cpu", "float32")  # type: ignore[arg-type]
        assert host.names == ("softcast",)
        assert f"checkpoint digital is not served: {reason}" in caplog.messages
        caplog.clear()
        with pytest.raises(models.UnknownMethodError) as refused:
            host.find("digital")
        assert str(refused.value) == f"method: 'digital' is not served here (served: softcast): {reason}"
