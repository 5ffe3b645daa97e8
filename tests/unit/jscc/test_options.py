"""Chosen options: a mapping that can be a part of a key."""

import pytest

from jscc.options import ChosenOptions


def test_options_are_equal_and_hash_alike_whatever_their_order() -> None:
    one, other = ChosenOptions({"K": 4, "soft": 1.0}), ChosenOptions({"soft": 1, "K": 4})
    assert one == other == {"K": 4, "soft": 1}
    assert len({one, other}) == 1
    assert one != ChosenOptions({"K": 4})
    assert list(one) == ["K", "soft"]
    assert one["K"] == 4


def test_no_options_are_false_and_say_nothing() -> None:
    assert not ChosenOptions()
    assert ChosenOptions() == ChosenOptions({}) == {}
    assert str(ChosenOptions()) == ""


def test_options_are_written_as_the_command_line_takes_them() -> None:
    assert str(ChosenOptions({"steps": 4, "soft": True, "name": "a"})) == "name=a, soft=true, steps=4"


def test_options_stay_as_they_are() -> None:
    values = {"K": 4}
    chosen = ChosenOptions(values)
    values["K"] = 5
    assert chosen["K"] == 4
    with pytest.raises(TypeError):
        chosen["K"] = 5  # type: ignore[index]
    with pytest.raises(KeyError):
        chosen["other"]
