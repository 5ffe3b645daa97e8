"""The classified linear code against its closed form, and what both ends must agree on."""

import dataclasses

import pytest
import torch
from factories import REPOSITORY
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from jscc import checkpoints
from jscc.data import open_dataset
from jscc.images import read_image
from jscc.models import kltjscc
from jscc.models._contract import ReceiveOptions
from jscc.models._klt import classes, hybrid
from jscc.models._klt.classes import COEFFICIENTS, COLOURS, Tables, from_spectrum, to_spectrum
from jscc.models.kltjscc import Config, Receiver, SendOptions, Transmitter
from jscc.signals import ChannelState, Side, noise_variance

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


def quantiser_error(bits: Tensor) -> Tensor:
    """Return the mean squared error of the uniform quantisers for a Gaussian of variance 1, by integration."""
    x = torch.linspace(-8, 8, 16001).double()
    density = (-x.square() / 2).exp() / (-x.square() / 2).exp().sum()
    table = [1.0]
    for number, step in enumerate(hybrid._STEPS[1:], start=1):
        cell = ((x / step).floor() + 0.5).clamp(0.5 - 2 ** (number - 1), 2 ** (number - 1) - 0.5)
        table.append(float(((x - cell * step).square() * density).sum()))
    return torch.tensor(table)[bits]


@pytest.mark.parametrize("spread", [0.0, 0.5])
@pytest.mark.parametrize("snr_db", [-5.0, 5.0, 20.0])
def test_the_untrained_link_has_the_error_of_its_closed_form(snr_db: float, spread: float) -> None:
    """On Gaussian coefficients of the tables' variances: lambda where nothing is sent, else what bits and LMMSE leave.

    With w = p / (p + s2), a remainder of true variance r and assumed variance R has the error
    (1 - w)^2 r + w^2 s2 R / p. With a spread, each symbol has another s2 than its neighbour.
    The mean of 49 152 squared errors over their expected values deviates by 0.6 % (one sigma): 3 % is five sigmas.
    """
    torch.manual_seed(0)
    chosen = Config(classes=4, **SMALL)  # type: ignore[arg-type]
    receiver = Receiver(chosen).train()  # not cut to [0, 1]: Gaussian images are not in there
    receiver.tables.load_state_dict(tables().state_dict())
    classes = random_classes(1, 8, 8, 4)
    generator = torch.Generator().manual_seed(1)
    noise_power = noise_variance(torch.tensor([snr_db]))
    noise_code = kltjscc.quantise_log2(noise_power[:, None], *kltjscc.NOISE_LOG2, chosen.code_bits)
    places = kltjscc._places(receiver.tables, chosen, classes)
    energy = hybrid.word_energy(kltjscc._noise_power(noise_code, chosen), torch.zeros(1))
    threshold = hybrid.choose_threshold(places.levels, noise_power, energy)
    code = hybrid.plan(places.levels, kltjscc._noise_power(noise_code, chosen), energy, threshold)
    assert (code.words > 0).all() == (snr_db < 20)

    whitened = torch.randn(places.variance.shape, generator=generator)
    signs, left = hybrid.quantise(code, places.take(whitened))
    s = (code.power / code.remainder).sqrt() * left + hybrid.send(code, signs)
    each = noise_power * (1 + spread * torch.tensor([-1.0, 1.0]).repeat(s.shape[1] // 2))[None]
    y = s + each.sqrt() * torch.randn(s.shape, generator=generator)
    scale_code = kltjscc.quantise_log2(torch.ones(1, 1), *kltjscc.SCALE_LOG2, chosen.code_bits)
    codes = torch.cat(
        [scale_code, noise_code, threshold[:, None], torch.zeros(1, 1), kltjscc._pack(classes, chosen)], 1
    )
    with torch.no_grad():
        x_hat = receiver(y, Side(128, 128, codes, chosen.code_bits), ChannelState(each), ReceiveOptions())
    error = to_spectrum(receiver.tables.analyse(x_hat)) - whitened * places.variance.sqrt()

    true = torch.ones_like(code.power)
    true[:, : code.bits.shape[1]] = quantiser_error(code.bits)
    weight = code.power / (code.power + each)
    arrived = (1 - weight).square() * true + weight * each * code.remainder / (code.power + each)
    expected = places.put(places.variance, arrived * places.deviation.square())
    assert (error.square() / expected).mean().item() == pytest.approx(1, rel=0.03)


@settings(max_examples=30, deadline=None)
@given(
    classes=st.sampled_from([2, 4, 8, 16, 32]),
    rows=st.integers(1, 9),
    columns=st.integers(1, 9),
    seed=st.integers(0, 99),
)
def test_classes_survive_packing(classes: int, rows: int, columns: int, seed: int) -> None:
    chosen = Config(classes=classes)
    told = random_classes(2, rows, columns, classes, seed)
    codes = kltjscc._pack(told, chosen)
    layout = chosen.layout(16 * rows, 16 * columns, SendOptions())
    assert codes.shape[1] == layout.code_count - 4
    assert codes.max() < 2**layout.code_bits
    side = Side(16 * rows, 16 * columns, torch.cat([torch.zeros(2, 4), codes], dim=1), layout.code_bits)
    assert torch.equal(kltjscc._unpack(side, chosen), told)


def test_both_ends_allocate_alike_from_the_codes_alone() -> None:
    torch.manual_seed(0)
    chosen = Config(classes=8, **SMALL)  # type: ignore[arg-type]
    transmitter, receiver = Transmitter(chosen), Receiver(chosen)
    x = torch.rand(2, 3, 64, 80, generator=torch.Generator().manual_seed(3))
    s, side = transmitter(x, torch.tensor([3.0, 12.0]), SendOptions())
    told = kltjscc._unpack(side, chosen)
    assert torch.equal(told, transmitter.tables.classify(transmitter.tables.analyse(x)))
    places = kltjscc._places(receiver.tables, chosen, told)
    assert places.levels.shape == s.shape
    values = torch.rand(s.shape)
    assert torch.equal(places.take(places.put(torch.zeros_like(places.variance), values)), values)


@pytest.mark.parametrize("margin_db", [-1.0, 61.0, 3.1, float("nan")])
def test_a_margin_out_of_range_is_refused(margin_db: float) -> None:
    with pytest.raises(ValueError, match="margin_db must be in"):
        SendOptions(margin_db)


def test_the_margin_is_told_in_whole_numbers_and_counted() -> None:
    """12 bits for each code of 16 classes: scale, noise, threshold, margin, and one for three of the 1536 patches."""
    assert Config().layout(512, 768, SendOptions(60.0)) == Config().layout(512, 768, SendOptions())
    assert Config().layout(512, 768, SendOptions()).code_count * Config().code_bits == 12 * (4 + 512)
    chosen = Config(classes=4, **SMALL)  # type: ignore[arg-type]
    transmitter, receiver = Transmitter(chosen).eval(), Receiver(chosen).eval()
    x, snr_db = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0)), torch.tensor([5.0])
    with torch.no_grad():
        s, side = transmitter(x, snr_db, SendOptions(2.75))
        assert side.codes[0, 3] == 11
        wrong = torch.cat([side.codes[:, :3], torch.tensor([[241.0]]), side.codes[:, 4:]], dim=1)
        with pytest.raises(ValueError, match=r"^side\.codes: no margin of code 241, the largest is 240$"):
            receiver(s, dataclasses.replace(side, codes=wrong), ChannelState(torch.ones(1)), ReceiveOptions())


def test_a_margin_keeps_the_image_when_the_channel_is_worse_than_told() -> None:
    """Told 3 dB too much: with no margin the digital part breaks down, with 3 dB it does not."""
    chosen = Config(classes=4, **SMALL)  # type: ignore[arg-type]
    transmitter, receiver = Transmitter(chosen).eval(), Receiver(chosen).eval()
    pixels = torch.from_numpy(read_image(open_dataset("samples").images[0].path)[:256, :256].copy()).permute(2, 0, 1)
    receiver.initialise(transmitter, [pixels])
    x = pixels[None].float() / 255

    def error(margin_db: float) -> float:
        return squared_error(transmitter, receiver, x, 5.0, told_db=8.0, options=SendOptions(margin_db))

    assert error(3.0) < 0.5 * error(0.0)


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
def squared_error(
    transmitter: nn.Module,
    receiver: nn.Module,
    x: Tensor,
    snr_db: float,
    told_db: float | None = None,
    options: SendOptions = DEFAULTS,
) -> float:
    s, side = transmitter(x, torch.tensor([snr_db if told_db is None else told_db]), options)
    noise_power = noise_variance(torch.tensor([snr_db]))
    y = s + noise_power.sqrt() * torch.randn(s.shape, generator=torch.Generator().manual_seed(0))
    return float((receiver(y, side, ChannelState(noise_power), ReceiveOptions()) - x).square().mean())


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
