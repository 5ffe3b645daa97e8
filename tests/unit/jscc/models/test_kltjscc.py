"""The classified linear code against its closed form, and what both ends must agree on."""

import dataclasses
from typing import Any

import pytest
import torch
from factories import REPOSITORY
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from jscc import checkpoints
from jscc.data import open_dataset
from jscc.framing import frame
from jscc.images import read_image
from jscc.models import kltjscc
from jscc.models._contract import Decoded, ReceiveOptions
from jscc.models._klt import classes, hybrid
from jscc.models._klt.classes import COEFFICIENTS, COLOURS, Places, Tables, from_spectrum, to_spectrum
from jscc.models._klt.quantiser import ROWS, Quantiser
from jscc.models._klt.told import SCALE_BITS, Told
from jscc.models.kltjscc import Config, Receiver, SendOptions, Transmitter
from jscc.signals import ChannelState, Layout, Side, noise_variance, quantise_log2, told_noise_power

SHIPPED = REPOSITORY / "checkpoints" / "kltjscc.json"
DEFAULTS = SendOptions()
SMALL = {"transmitter_channels": 8, "receiver_channels": (8, 8), "transmitter_blocks": 1, "receiver_blocks": (1, 1)}


def tables(classes: int = 4) -> Tables:
    built = Tables(classes)
    falling = torch.arange(COEFFICIENTS - COLOURS).float().add(1).log2()
    built.level.copy_((-24 * falling[None] + 40 * torch.arange(classes)[:, None]).round())
    return built


def random_classes(count: int, rows: int, columns: int, classes: int, seed: int = 0) -> Tensor:
    return torch.randint(classes, (count, rows, columns), generator=torch.Generator().manual_seed(seed))


def test_synthesis_inverts_analysis() -> None:
    x = torch.rand(2, 3, 48, 32, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(tables().synthesise(tables().analyse(x)), x, atol=1e-5, rtol=1e-5)


@given(rows=st.integers(1, 12), columns=st.integers(1, 12))
def test_the_plane_comes_back_from_its_spectrum_with_its_energy(rows: int, columns: int) -> None:
    x = torch.randn(2, COEFFICIENTS, rows, columns, generator=torch.Generator().manual_seed(0))
    spectrum = to_spectrum(x)
    torch.testing.assert_close(spectrum.square().sum(), x.square().sum(), rtol=1e-4, atol=0)
    torch.testing.assert_close(from_spectrum(spectrum), x, atol=1e-4, rtol=1e-4)


def test_rings_grow_with_frequency_and_only_the_mean_is_in_the_first() -> None:
    rings = classes._rings(40, 60, torch.device("cpu"))
    assert (rings == 0).nonzero().tolist() == [[0, 0]]
    assert (rings.diff(dim=0) >= 0).all()
    assert (rings.diff(dim=1) >= 0).all()
    assert rings.max() < tables().plane_level.shape[1]
    smallest = classes._rings(256, 256, torch.device("cpu"))[0, 1]
    assert smallest >= 1


def test_the_largest_variances_are_chosen() -> None:
    levels = tables().levels(random_classes(3, 4, 5, 4))
    index = classes.select(levels, 2000)
    assert all(len(set(row)) == 2000 for row in index.tolist())
    chosen = torch.zeros(3, levels[0].numel(), dtype=torch.bool).scatter(1, index, True)
    for mask, value, order in zip(chosen, levels.flatten(1), index, strict=True):
        assert value[mask].min() >= value[~mask].max()
        assert (value[order].diff() <= 0).all()


@pytest.mark.parametrize("snr_db", [-10.0, 0.0, 20.0])
def test_all_power_is_spent_where_it_is_best(snr_db: float) -> None:
    """At the optimum p = sqrt(s2 lambda / mu) - s2: (p + s2)^2 / lambda is one constant wherever there is power."""
    levels = tables().levels(random_classes(2, 4, 4, 4))
    levels = levels.flatten(1).gather(1, classes.select(levels, 1500))
    noise_power = noise_variance(torch.tensor([snr_db, snr_db])).double()[:, None]
    count = classes.histogram(levels, torch.ones_like(levels, dtype=torch.float64))
    assert count.sum(1).tolist() == [1500.0, 1500.0]
    power = classes.water_fill(count, noise_power, torch.full_like(noise_power, 900.0))
    power = power.gather(1, classes.bin_of(levels))
    torch.testing.assert_close(power.sum(1), torch.full((2,), 900.0).double(), rtol=1e-6, atol=0)
    level = ((power + noise_power[0]).square() / classes.variance(levels))[0]
    spent = power[0] > 0
    torch.testing.assert_close(level[spent], level[spent].mean().expand(int(spent.sum())), rtol=1e-4, atol=0)
    assert (level[~spent] >= level[spent].mean() * 0.999).all()


def test_a_patch_joins_the_class_of_its_own_statistics() -> None:
    """Gaussian patches drawn from two classes with unlike spectra of equal energy: what activity cannot tell apart."""
    built = Tables(2)
    half = (COEFFICIENTS - COLOURS) // 2
    built.level.fill_(-160.0)
    built.level[0, :half] = built.level[1, half:] = -48.0
    built.price_log2.fill_(-8.0)
    truth = random_classes(4, 5, 5, 2)
    coefficients = torch.randn(4, COEFFICIENTS, 5, 5, generator=torch.Generator().manual_seed(1))
    coefficients = coefficients * classes.variance(built.levels(truth)).sqrt()
    assert torch.equal(built.classify(coefficients), truth)


def test_fitted_tables_describe_the_photos() -> None:
    """Fitted to Gaussian noise of one deviation, every coefficient has that variance, in the plane too."""
    generator = torch.Generator().manual_seed(0)
    images = [(128 + 20 * torch.randn(3, 256, 256, generator=generator)).clamp(0, 255).byte() for _ in range(8)]
    built = Tables(2)
    built.fit(images, rho=0.25)
    basis = built.basis.double()
    torch.testing.assert_close(basis @ basis.T, torch.eye(COEFFICIENTS).double(), atol=1e-5, rtol=0)
    patches = (basis[:COLOURS].reshape(COLOURS, 3, -1) * 16).diff(dim=2)
    assert patches.abs().max() < 1e-6, "a mean colour varies within the patch"
    deviation = classes.variance(built.levels(random_classes(1, 16, 16, 2)).float()).sqrt() * 255
    plane = deviation[:, :COLOURS].flatten(2)[:, :, 1:]
    assert plane.mean().item() == pytest.approx(20, rel=0.05)
    assert deviation[:, COLOURS:].square().mean().sqrt().item() == pytest.approx(20, rel=0.05)


def quantiser_error(quantiser: Quantiser, ratio: Tensor) -> Tensor:
    """Return the mean squared errors of the quantiser for a Gaussian of variance 1, by integration."""
    x = torch.linspace(-8, 8, 4001)
    density = (-x.double().square() / 2).exp() / (-x.double().square() / 2).exp().sum()
    found, place = ratio.unique(return_inverse=True)
    each = found[:, None].expand(-1, len(x))
    left = x - quantiser.shown(quantiser.told(x.expand(len(found), -1), each), each)
    return (left.double().square() * density).sum(1)[place].float()


def air_of(layout: Layout, side: Side) -> frame.Air:
    air = frame.left_to_method(layout, side)
    return air._replace(noise_power=told_noise_power(side.snr_code).double() / air.gain.square())


def told_of(layout: Layout, snr_db: float) -> Side:
    """Return what a header of 40 bytes tells of an image of 128x128 px before its codes are known."""
    side = Side.told(torch.zeros(1, 3, 128, 128), torch.tensor([snr_db]), 0, torch.zeros(1, 0), layout.code_bits)
    return dataclasses.replace(side, body_bytes=torch.tensor([40]))


def digital_part(
    places: Places, quantiser: Quantiser, air: frame.Air, whitened: Tensor
) -> tuple[dict[str, Any], Tensor, tuple[bytes, bytes]]:
    """Return what is told, values and bytes of an image's coefficients, given in units of their deviations."""
    margin = torch.zeros(1, dtype=torch.long)
    step, first_row = hybrid.choose_step(places.levels, quantiser, air, margin)
    ratio = hybrid.ratio_to(step, places.levels)
    values = quantiser.told(places.take(whitened), ratio)
    base, rest = (
        quantiser.write(values[0], ratio[0], rows) for rows in (range(int(first_row), ROWS), range(int(first_row)))
    )
    assert base or rest
    sizes = torch.tensor([len(base)]), torch.tensor([len(rest)])
    told = {"step": step, "margin": margin, "first_row": first_row, "sizes": sizes}
    return told, values, (base, rest)


@pytest.mark.parametrize("spread", [0.0, 0.5])
@pytest.mark.parametrize("snr_db", [-5.0, 5.0, 20.0])
def test_the_untrained_link_has_the_error_of_its_closed_form(snr_db: float, spread: float) -> None:
    """On Gaussian coefficients of the tables' variances: lambda where nothing is sent, else what bits and LMMSE leave.

    The code is designed for the noise that the header's share of the power makes of the told one.

    With w = p / (p + s2), a remainder of true variance r and assumed variance R has the error
    (1 - w)^2 r + w^2 s2 R / p. With a spread, each symbol has another s2 than its neighbour.
    The mean of 49 152 squared errors over their expected values deviates by 0.6 % (one sigma): 3 % is five sigmas.
    """
    chosen = Config(classes=4, **SMALL)  # type: ignore[arg-type]
    receiver = Receiver(chosen).train()  # silent networks; not cut to [0, 1]: Gaussian images are not in there
    receiver.tables.load_state_dict(tables().state_dict())
    classes = random_classes(1, 8, 8, 4)
    generator = torch.Generator().manual_seed(1)
    layout = chosen.layout(128, 128, SendOptions())
    told = told_of(layout, snr_db)
    air, quantiser = air_of(layout, told), receiver.quantiser
    places = Places(receiver.tables, classes, layout.slots)
    whitened = torch.randn(places.variance.shape, generator=generator)
    numbers, values, data = digital_part(places, quantiser, air, whitened)
    digital = hybrid.digital_of(air, numbers["sizes"], numbers["margin"])
    code = hybrid.plan(places.levels, numbers["step"], quantiser, air, digital)

    left = places.take(whitened) - quantiser.shown(values, code.ratio)
    s = (code.power / code.remainder).sqrt() * left + hybrid.send(code, digital, [data])
    noise_power = air.noise_power.float()
    each = noise_power * (1 + spread * torch.tensor([-1.0, 1.0]).repeat(s.shape[1] // 2))[None]
    y = s + each.sqrt() * torch.randn(s.shape, generator=generator)
    scale = quantise_log2(torch.ones(1), *kltjscc.SCALE_LOG2, SCALE_BITS)
    side = dataclasses.replace(told, codes=Told(scale, classes=classes, **numbers).codes())
    with torch.no_grad():
        x_hat, lost = receiver.reconstruct(y, side, ChannelState(each), ReceiveOptions())
    assert lost.tolist() == [False]
    error = to_spectrum(receiver.tables.analyse(x_hat)) - whitened * places.variance.sqrt()

    true = quantiser_error(quantiser, code.ratio)
    weight = code.power / (code.power + each)
    arrived = (1 - weight).square() * true + weight * each * code.remainder / (code.power + each)
    expected = places.put(places.variance, arrived * places.deviation.square())
    assert (error.square() / expected).mean().item() == pytest.approx(1, rel=0.03)


def test_both_ends_allocate_alike_from_the_codes_alone() -> None:
    torch.manual_seed(0)
    chosen = Config(classes=8, **SMALL)  # type: ignore[arg-type]
    transmitter, receiver = Transmitter(chosen).eval(), Receiver(chosen).eval()
    x = torch.rand(2, 3, 64, 80, generator=torch.Generator().manual_seed(3))
    s, side = transmitter(x, torch.tensor([3.0, 12.0]), SendOptions())
    said = Told.of(side.codes, 4, 5)
    assert torch.equal(said.classes, transmitter.tables.classify(transmitter.tables.analyse(x)))
    for body, codes in zip(side.body, side.codes, strict=True):
        assert receiver.read(body, (64, 80)) == codes.tolist()
    places = Places(receiver.tables, said.classes, s.shape[1])
    assert places.levels.shape == s.shape
    values = torch.rand(s.shape)
    assert torch.equal(places.take(places.put(torch.zeros_like(places.variance), values)), values)


def test_what_training_counts_is_what_is_sent() -> None:
    """Sizes of header and values come from entropies in training, where nobody waits for bytes: within some bytes."""
    chosen = Config(classes=8, **SMALL)  # type: ignore[arg-type]
    transmitter, receiver = Transmitter(chosen), Receiver(chosen)
    pixels = torch.from_numpy(read_image(open_dataset("samples").images[0].path)[:128, :128].copy()).permute(2, 0, 1)
    receiver.initialise(transmitter, [pixels])
    x = torch.stack([pixels, pixels.flip(2)]).float() / 255
    with torch.no_grad():
        counted = transmitter.train()(x, torch.tensor([-3.0, 12.0]), SendOptions())[1]
        sent = transmitter.eval()(x, torch.tensor([-3.0, 12.0]), SendOptions())[1]
    assert all(len(part.unique()) > 3 for part in Told.of(sent.codes, 8, 8).classes)
    assert counted.body == ()
    assert len(sent.body) == 2
    assert (counted.body_bytes - sent.body_bytes).abs().max() <= 5
    assert counted.payload is not None
    of_training, of_sending = (Told.of(side.codes, 8, 8) for side in (counted, sent))
    same = of_training.step == of_sending.step  # a header of some bytes more may leave the best step another one
    assert same.any()
    for counted_bytes, sent_bytes in zip(of_training.sizes, of_sending.sizes, strict=True):
        assert ((counted_bytes - sent_bytes).abs() <= 5 + 0.01 * sent_bytes)[same].all()


@pytest.mark.parametrize("margin_db", [-1.0, 61.0, 3.1, float("nan")])
def test_a_margin_out_of_range_is_refused(margin_db: float) -> None:
    with pytest.raises(ValueError, match="margin_db must be in"):
        SendOptions(margin_db=margin_db)


def test_the_margin_is_told_in_whole_numbers_and_changes_no_cost() -> None:
    """Quarters of a dB; eight numbers and one class for each of 1536 patches are told in any case."""
    wide = SendOptions(margin_db=60.0, header_margin_db=60.0)
    assert Config().layout(512, 768, wide) == Config().layout(512, 768, SendOptions())
    assert Config().layout(512, 768, SendOptions()).code_count == 8 + 1536
    transmitter = Transmitter(Config(classes=4, **SMALL)).eval()  # type: ignore[arg-type]
    x, snr_db = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0)), torch.tensor([5.0])
    _, side = transmitter(x, snr_db, SendOptions(margin_db=2.75, header_margin_db=0.5))
    assert Told.of(side.codes, 2, 2).margin.tolist() == [11]
    assert side.margin_code.tolist() == [2]


def test_a_margin_keeps_the_image_when_the_channel_is_worse_than_told() -> None:
    """Told 3 dB too much: with no margin the digital part is lost, and said to be; with 4 dB it is not."""
    chosen = Config(classes=4, **SMALL)  # type: ignore[arg-type]
    transmitter, receiver = Transmitter(chosen).eval(), Receiver(chosen).eval()
    pixels = torch.from_numpy(read_image(open_dataset("samples").images[0].path)[:256, :256].copy()).permute(2, 0, 1)
    receiver.initialise(transmitter, [pixels])
    x = pixels[None].float() / 255
    errors = {}
    for margin_db, lost in ((0.0, "payload"), (4.0, "")):
        options = SendOptions(margin_db=margin_db, header_margin_db=4.0)
        decoded = cross(transmitter, receiver, x, 5.0, told_db=8.0, options=options)
        assert decoded.lost == (lost,)
        errors[margin_db] = float((decoded.x_hat - x).square().mean())
    assert errors[4.0] < 0.5 * errors[0.0]


@pytest.mark.slow
@pytest.mark.parametrize("snr_db", [-5.0, 0.0, 5.0, 10.0, 15.0, 20.0])
def test_the_shipped_networks_gain_on_the_linear_code_at_every_snr(snr_db: float) -> None:
    card = checkpoints.read_card(SHIPPED)
    halves = [checkpoints.load(SHIPPED.parent, card, half) for half in ("transmitter", "receiver")]
    pixels = torch.from_numpy(read_image(open_dataset("samples").images[0].path)[:256, :256].copy())
    x = pixels.permute(2, 0, 1)[None].float() / 255
    trained_mse = squared_error(*halves, x, snr_db)
    for half in halves:
        output = half.get_submodule("output")
        assert isinstance(output, nn.Conv2d)
        kltjscc._silence(output)
    assert trained_mse < squared_error(*halves, x, snr_db)


@torch.no_grad()
def cross(
    transmitter: nn.Module,
    receiver: nn.Module,
    x: Tensor,
    snr_db: float,
    told_db: float | None = None,
    options: SendOptions = DEFAULTS,
) -> Decoded:
    assert isinstance(transmitter, Transmitter)
    assert isinstance(receiver, Receiver)
    sent = transmitter.send(x, torch.tensor([snr_db if told_db is None else told_db]), options).symbols
    noise_power = noise_variance(torch.tensor([snr_db]))
    y = sent + noise_power.sqrt() * torch.randn(sent.shape, generator=torch.Generator().manual_seed(0))
    size_px = x.shape[2], x.shape[3]
    layout = receiver.config.layout(*size_px, options)
    return receiver.receive(y, ChannelState(noise_power), layout, size_px, ReceiveOptions())


def squared_error(transmitter: nn.Module, receiver: nn.Module, x: Tensor, snr_db: float) -> float:
    """Return the error of what arrives, which nothing is lost of."""
    decoded = cross(transmitter, receiver, x, snr_db)
    assert decoded.lost == ("",)
    return float((decoded.x_hat - x).square().mean())


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"rho": 0.0}, "rho must be above 0"),
        ({"classes": 3}, "classes must be 2, 4, 8, 16 or 32"),
        ({"transmitter_blocks": 0}, "transmitter_blocks must be at least 1"),
        ({"receiver_channels": (8,)}, "receiver_channels must be 2 positive numbers"),
    ],
)
def test_a_configuration_out_of_range_is_refused(wrong: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Config(**wrong)  # type: ignore[arg-type]


def test_beyond_the_snrs_of_training_the_networks_do_no_harm() -> None:
    """At 60 dB next to no noise arrives: the shipped networks must not be worse than at 20 dB."""
    card = checkpoints.read_card(SHIPPED)
    halves = [checkpoints.load(SHIPPED.parent, card, half) for half in ("transmitter", "receiver")]
    pixels = torch.from_numpy(read_image(open_dataset("samples").images[0].path)[:256, :256].copy())
    x = pixels.permute(2, 0, 1)[None].float() / 255
    assert squared_error(*halves, x, 60.0) < squared_error(*halves, x, 20.0)
