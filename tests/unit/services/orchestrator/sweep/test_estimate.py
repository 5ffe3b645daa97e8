"""How long a sweep takes, by hand."""

import math

import factories
import pytest
from factories import idle_hop

from jscc.options import ChosenOptions
from services.orchestrator.sweep.estimate import Estimate, Line, transmission_s, without_encoder
from services.orchestrator.sweep.plan import Kind

FAST, SLOW = Kind("deepjscc", ChosenOptions()), Kind("diffusion", ChosenOptions({"steps": 16}))


def test_what_is_left_is_counted_down_kind_by_kind() -> None:
    left = Estimate({FAST: 3, SLOW: 2}, clock=lambda: 0.0)
    assert left.kinds == [FAST, SLOW]
    assert math.isnan(left.left_s())
    left.count(FAST, 0.5)
    left.count(SLOW, 30.0)
    assert left.lines() == (Line("deepjscc", 2, 1.0), Line("diffusion steps=16", 1, 30.0))
    left.restart()
    assert left.left_s() == 31.0
    left.count(FAST, 7.0)  # with others under way: what it costs alone is known already
    assert left.lines() == (Line("deepjscc", 1, 0.5), Line("diffusion steps=16", 1, 30.0))


def test_what_needs_no_encoding_costs_less() -> None:
    """Six, of which four have a frame that is there by then: one costs 3 s, without encoding 2 s."""
    now_s = 0.0
    left = Estimate({FAST: 6}, {FAST: 4}, clock=lambda: now_s)
    left.count(FAST, 3.0, 2.0)
    assert left.lines() == (Line("deepjscc", 5, 1 * 3.0 + 4 * 2.0),)
    left.restart()
    now_s = 5.0
    left.count(FAST, 9.0, 9.0, is_repeat=True)  # took 5 s, not 2
    assert left.lines() == (Line("deepjscc", 4, 1 * 3.0 + 3 * 2.0),)
    assert left.left_s() == pytest.approx(9.0 * 5.0 / 2.0)


def test_without_its_encoder_a_transmission_takes_what_is_left() -> None:
    """800 ms, of which the encoder's 350 ms; the queue of 40 ms is the decoder's."""
    encoder = idle_hop("encoder", network=20, queue=80, compute=250)
    row = factories.row(total_ns=800_000_000, hops=(encoder, idle_hop("decoder", queue=40, compute=200)))
    assert transmission_s(without_encoder(row), 1) == pytest.approx(0.41)
    assert transmission_s(without_encoder(row), 64) == pytest.approx(0.2)


def test_the_clock_corrects_the_prediction() -> None:
    now_s = 0.0
    left = Estimate({FAST: 5}, clock=lambda: now_s)
    left.count(FAST, 2.0)
    left.restart()
    now_s = 3.0
    left.count(FAST, 2.0)  # took 3 s, not 2
    assert left.left_s() == pytest.approx(3 * 3.0)


def test_a_transmission_costs_what_the_slowest_service_or_the_cores_take() -> None:
    """Hops of 100, 0 and 300 ms without queue or network; 800 ms in all, of which 200 ms in queues."""
    hops = (
        idle_hop("encoder", network=5, queue=150, deserialize=10, compute=90),
        idle_hop("channel", network=5, queue=50),
        idle_hop("decoder", network=5, deserialize=10, compute=280, serialize=10),
    )
    row = factories.row(total_ns=800_000_000, hops=hops)
    assert transmission_s(row, 1) == pytest.approx(0.6)  # one after the other
    assert transmission_s(row, 2) == pytest.approx(0.3)
    assert transmission_s(row, 64) == pytest.approx(0.3)  # the decoder


def test_a_service_that_is_passed_twice_is_busy_twice() -> None:
    hops = (idle_hop("channel", compute=200), idle_hop("decoder", compute=300), idle_hop("channel", compute=150))
    assert transmission_s(factories.row(total_ns=800_000_000, hops=hops), 64) == pytest.approx(0.35)
