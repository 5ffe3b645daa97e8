"""Words, header and range coder."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from jscc import signals
from jscc.framing import bits, convolutional, frame, header, word
from jscc.framing.header import HeaderLostError
from jscc.grid import PLAIN
from jscc.signals import Side

QUIET = 1e-4


def received(value: int, uses: int, energy: float, noise_power: float, seed: int) -> int | None:
    s = word.send(value, uses, energy)
    y = s + noise_power**0.5 * torch.randn(uses, generator=torch.Generator().manual_seed(seed))
    return word.receive(y, torch.full_like(y, noise_power))


class TestWord:
    @given(st.integers(0, 2**48 - 1))
    def test_every_value_comes_back(self, value: int) -> None:
        assert received(value, word.USES, 128.0, QUIET, 0) == value

    @pytest.mark.parametrize("snr_db", [-20.0, -5.0, 10.0])
    @pytest.mark.parametrize("copies", [1, 4])
    def test_its_energy_is_what_it_needs(self, snr_db: float, copies: int) -> None:
        """Of 200 words none is lost at the energy that loses one in 10,000; most are at 4 dB less."""
        noise_power, uses = 10 ** (-snr_db / 10), copies * word.USES
        needed = noise_power * 10 ** (word.NEEDED_ENERGY_DB / 10)
        values = [int(value) for value in torch.randint(2**48, (200,), generator=torch.Generator().manual_seed(1))]
        found = [received(value, uses, needed, noise_power, seed) for seed, value in enumerate(values, 1000)]
        assert found == values
        weak = [received(value, uses, needed / 10**0.4, noise_power, seed) for seed, value in enumerate(values)]
        assert sum(each is None for each in weak) > 100
        assert all(each in (None, value) for each, value in zip(weak, values, strict=True))

    def test_its_energy_is_at_least_one_a_use_and_grows_with_the_margin(self) -> None:
        noise_power = torch.tensor([1e-6, 10.0, 10.0])
        margin_db = torch.tensor([0.0, 0.0, 3.0])
        needed = 10 ** (word.NEEDED_ENERGY_DB / 10)
        expected = [512, 10 * needed, 10 * needed * 10**0.3]
        torch.testing.assert_close(word.energy(noise_power, margin_db, 512), torch.tensor(expected).double())

    def test_flipping_any_bit_loses_it(self) -> None:
        """Each of its 48 bits and of the 16 of its checksum."""
        chips = word.send(0x123456789ABC, word.USES, word.USES)
        signs = convolutional.decode(20 * chips)
        torch.testing.assert_close(convolutional.encode(signs.sign()), chips)
        for bit in range(convolutional.BITS):
            wrong = signs.sign()
            wrong[bit] *= -1
            y = convolutional.encode(wrong)
            assert word.receive(y, torch.full_like(y, QUIET)) is None

    def test_silence_and_noise_are_no_words(self) -> None:
        assert word.receive(torch.zeros(word.USES), torch.full((word.USES,), 0.1)) is None
        noise = torch.randn(100, word.USES, generator=torch.Generator().manual_seed(0))
        assert [word.receive(y, torch.ones(word.USES)) for y in noise] == [None] * 100  # fails once in 650


class TestFields:
    @pytest.mark.parametrize(("count", "width", "words"), [(0, 8, 1), (1, 8, 1), (3, 10, 1), (5, 8, 2), (20, 12, 6)])
    def test_codes_come_back_from_as_few_words_as_hold_them(self, count: int, width: int, words: int) -> None:
        layout = frame.around(4000, count, width, PLAIN)
        assert layout.words == words
        codes = torch.randint(2**width, (1, count), generator=torch.Generator().manual_seed(0)).float()
        side = Side.told(torch.zeros(1, 3, 5, 7), torch.tensor([-12.3]), 240, codes, width)
        told = header.read(header.write(layout, side, 0))
        assert header.codes_of(layout, told) == codes[0].tolist()
        found = header.side_of(told, layout, (5, 7), torch.device("cpu"))
        assert (found.height_px, found.width_px) == (5, 7)
        assert torch.equal(found.snr_code, side.snr_code)
        assert found.margin_code.tolist() == [240]

    def test_what_cannot_be_is_lost(self) -> None:
        for value, message in ((511, "no SNR of code 511"), (241 << 9, "margin of code 241")):
            with pytest.raises(HeaderLostError, match=message):
                header.read([value])

    def test_the_told_snr_is_known_to_a_sixteenth_of_an_octave(self) -> None:
        snr_db = torch.linspace(-30, 60, 1001)
        codes = signals.snr_code(snr_db)
        assert (codes.min(), codes.max()) == (0, 478)
        told_db = -10 * signals.told_noise_power(codes).double().log10()
        assert float((told_db - snr_db).abs().max()) <= 10 * np.log10(2) / 32 + 1e-4


class TestFrame:
    @pytest.mark.parametrize("channel_uses", [900, 98_304, 294_912, 4_000_000])
    def test_the_header_is_within_the_budget(self, channel_uses: int) -> None:
        layout = frame.within(channel_uses, 1, 8, PLAIN)
        assert channel_uses - 128 < layout.channel_uses <= channel_uses
        assert layout.channel_uses - layout.slots == layout.word_uses

    def test_a_header_of_a_few_dozen_bits_is_cheap_at_minus_five_decibels(self) -> None:
        """Below 0.5 % of the uses, and of the power, of a Kodak image at rho = 1/4."""
        layout = frame.around(294_912, 1, 8, PLAIN)
        side = Side.told(torch.zeros(1, 3, 512, 768), torch.tensor([-5.0]), 0, torch.zeros(1, 1), 8)
        sent = frame.send(layout, torch.ones(1, layout.slots), side)
        assert int(sent.header_uses) < 0.005 * layout.channel_uses
        assert 0 < float(sent.header_share) < 0.005

    def test_nothing_left_is_refused(self) -> None:
        with pytest.raises(ValueError, match=r"^rho: 100 channel uses, the header alone takes 128$"):
            frame.within(100, 1, 8, PLAIN)

    def test_neighbours_are_spread(self) -> None:
        """A burst over a tenth of the frame hits a tenth of the words' symbols, give or take a fifth of that."""
        layout = frame.around(100_000, 1, 8, PLAIN)
        side = Side.told(torch.zeros(1, 3, 8, 8), torch.tensor([30.0]), 0, torch.zeros(1, 1), 8)
        words_alone = frame.send(layout, torch.zeros(1, layout.slots), side).symbols[0] != 0
        assert int(words_alone.sum()) == 128
        for first in range(0, layout.channel_uses - 10_000, 10_000):
            assert 10 <= int(words_alone[first : first + 10_012].sum()) <= 16


class TestBits:
    @given(st.lists(st.integers(0, 6), max_size=300), st.integers(0, 2**32))
    def test_symbols_come_back(self, symbols: list[int], seed: int) -> None:
        counts = np.random.default_rng(seed).integers(1, 1000, 7).astype(np.float32)
        told = np.array(symbols, np.int32)
        assert bits.Decoder(bits.encode([(told, counts)])).group(len(told), counts).tolist() == symbols

    def test_bytes_are_as_few_as_the_information(self) -> None:
        counts = np.array([900, 50, 30, 20], np.float32)
        told = np.random.default_rng(0).choice(4, 20_000, p=counts / 1000).astype(np.int32)
        information = -np.log2(counts[told] / 1000).sum()
        assert information <= 8 * len(bits.encode([(told, counts)])) <= information + 40

    def test_what_no_coder_has_written_is_refused_in_a_word(self) -> None:
        """The first words of a range coder cannot be these, whatever the symbols; it was an AssertionError."""
        counts = np.array([3, 1, 7], np.float32)

        def all_of(decode: Callable[[bits.Decoder], object]) -> None:
            for seed in range(2000):
                decode(bits.Decoder(np.random.default_rng(seed).bytes(12)))

        for decode in (lambda it: it.group(50, counts), lambda it: [it.symbol(bits.model(counts)) for _ in range(50)]):
            with pytest.raises(ValueError, match=r"^bytes that no range coder has written$"):
                all_of(decode)

    def test_what_was_never_written_is_no_error(self) -> None:
        counts = np.array([3, 1], np.float32)
        assert set(bits.Decoder(b"").group(50, counts).tolist()) <= {0, 1}
