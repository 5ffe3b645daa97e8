"""What the texts of arguments mean, and one sentence for those that mean nothing."""

import json
import math
import re

import pytest

from jscc.config import check_option
from jscc.wire import convert
from services.orchestrator import option_text
from services.orchestrator.cli import arguments, output


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("K=7", ("K", 7)),
        ("K=-1", ("K", -1)),
        ("margin_db=3.5", ("margin_db", 3.5)),
        ("margin_db=1e1", ("margin_db", 10.0)),
        ("fast=true", ("fast", True)),
        ("fast=False", ("fast", False)),
        ("kind=ddim", ("kind", "ddim")),
        ("kind=a=b", ("kind", "a=b")),
        ("kind='7'", ("kind", "7")),
        ('kind="true"', ("kind", "true")),
        ("kind=", ("kind", "")),
        ("seed=9223372036854775807", ("seed", 2**63 - 1)),
    ],
)
def test_an_option_is_a_truth_a_number_or_text(text: str, expected: tuple[str, object]) -> None:
    got = option_text.option(text)
    assert got == expected
    assert type(got[1]) is type(expected[1])
    convert.options_to_wire(dict([got]))


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("K", "option: 'K' is not of the form name=value"),
        ("=3", "option: '=3' is not of the form name=value"),
        ("two words=3", "option: 'two words=3' is not of the form name=value"),
        ("K=[1,2]", "option K: expected one number, true, false or text, got [1,2]"),
        ("K=(1,)", "option K: expected one number, true, false or text, got (1,)"),
        ("K={1: 2}", "option K: expected one number, true, false or text, got {1: 2}"),
        ("K=9223372036854775808", "option K: 9223372036854775808 is outside -2^63..2^63 - 1"),
        ("K=1e309", "option K: expected a finite number, got inf"),
        ("K=nan", "option K: expected a finite number, got nan"),
        ("K=-Infinity", "option K: expected a finite number, got -inf"),
        ("K=" + "[" * 5000, "option K: expected one number, true, false or text, got " + "[" * 100),
        ("K=" + "9" * 5000, "option K: expected a finite number, got inf"),
    ],
)
def test_what_is_no_option_is_refused_in_one_sentence(text: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        option_text.option(text)


@pytest.mark.parametrize(
    "value", [[1, 2], None, {"a": 1}, (1,), b"x", 2**63, -(2**63) - 1, math.nan, math.inf, "\udcff"]
)
def test_a_value_that_does_not_travel_is_refused_by_the_options_name(value: object) -> None:
    for check in (lambda: check_option("K", value), lambda: convert.options_to_wire({"K": value})):
        with pytest.raises(ValueError, match=r"^option '?K'?: "):
            check()


@pytest.mark.parametrize("value", [None, 2**63, math.nan, "\udcff"])
def test_no_more_than_100_characters_of_an_options_name_are_repeated(value: object) -> None:
    with pytest.raises(ValueError, match=r"^option '?x{100}'?: "):
        check_option("x" * 3000, value)


@pytest.mark.parametrize(("text", "expected"), [("0", 0), (" 7 ", 7), (7, 7), ("9223372036854775807", 2**63 - 1)])
def test_a_seed(text: str | int, expected: int) -> None:
    assert arguments.seed(text) == expected


@pytest.mark.parametrize("text", [-1, "-1", 2**63, "9223372036854775808", "1.5", "x", "", "1e3", "9" * 5000, "\u0661"])
def test_what_is_no_seed_is_refused_with_the_range(text: str | int) -> None:
    with pytest.raises(ValueError, match=r"^seed: .*0\.\.2\^63 - 1$"):
        arguments.seed(text)


@pytest.mark.parametrize(("text", "expected"), [("-30", -30.0), ("60", 60.0), (0, 0.0), ("1e1", 10.0), (-0.5, -0.5)])
def test_an_snr(text: str | float, expected: float) -> None:
    assert arguments.snr_db(text) == expected


@pytest.mark.parametrize("text", ["1e309", math.inf, -math.inf, math.nan, "nan", -30.1, 60.1, "1000"])
def test_an_snr_out_of_range_is_refused_with_the_range(text: str | float) -> None:
    with pytest.raises(ValueError, match=r"^snr_db: .* is outside -30\.\.60 dB$"):
        arguments.snr_db(text)


def test_what_is_no_snr_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^snr_db: 'ten' is no number$"):
        arguments.snr_db("ten")


def test_json_is_one_strict_document(capsys: pytest.CaptureFixture[str]) -> None:
    """Numbers that JSON does not have are null, and nothing but ASCII and Unicode text comes out."""
    output.show_json({"a": math.nan, "b": (1, 2.5, math.inf), "c": {"dB": None, "ü": True}})
    captured = capsys.readouterr()
    assert json.loads(captured.out) == {"a": None, "b": [1, 2.5, None], "c": {"dB": None, "ü": True}}
    assert captured.out.endswith("\n")
    assert captured.err == ""


def test_lines_stay_lines(capsys: pytest.CaptureFixture[str]) -> None:
    """Rich would take [::1] for markup and a:b:c for an emoji, and would break the line."""
    output.fail("a:b:c at [::1]:5 [bold]said\nnothing " + "x" * 300)
    assert capsys.readouterr().err == "error: a:b:c at [::1]:5 [bold]said nothing " + "x" * 300 + "\n"
