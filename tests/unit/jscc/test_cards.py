"""Model cards: found wherever one stands, never outside their folder, and foreign files are no obstacle."""

import json
import logging
import subprocess
import sys
from pathlib import Path

import pytest

from jscc import cards
from jscc.cards import Card, CheckpointError, UnknownCheckpointError

OWN = Path(cards.__file__).parents[1] / "checkpoints"


def write(folder: Path, stem: str, **changes: str) -> Path:
    """Write a card by hand, without the library."""
    folder.mkdir(parents=True, exist_ok=True)
    fields = {"name": stem, "method": "deepjscc", "digest": "1", "transmitter_digest": "1", "config": {}}
    path = folder / f"{stem}.json"
    path.write_text(json.dumps({**fields, **changes}))
    return path


@pytest.mark.parametrize("name", ["../x", "/etc/x", "other", "", "sub/x", "x.json"])
def test_a_card_that_names_another_file_is_refused(tmp_path: Path, name: str) -> None:
    path = write(tmp_path, "x", name=name)
    with pytest.raises(CheckpointError, match=r"x\.json: name is .*, expected 'x'$"):
        cards.read_card(path)


@pytest.mark.parametrize("name", ["../x", "/x", "a/b", "", "."])
def test_a_card_is_not_written_outside_its_folder(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "inner"
    folder.mkdir()
    with pytest.raises(CheckpointError, match=r"is no file name$"):
        cards.write_card(folder, Card(name, "deepjscc", "1", "1", {}))
    assert [path.name for path in tmp_path.rglob("*")] == ["inner"]


@pytest.mark.parametrize(
    "text", ["{}", "[1, 2]", "no json", '"text"', "null", "\xff", "[" * 100_000, '{"name": "foreign"}', ""]
)
def test_a_foreign_file_is_skipped_with_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture, text: str) -> None:
    write(tmp_path, "mine")
    (tmp_path / "foreign.json").write_bytes(text.encode("latin-1"))
    write(tmp_path, "stray", name="../mine")
    with caplog.at_level(logging.WARNING):
        found = cards.cards(tmp_path)
    assert [card.name for card in found] == ["mine"]
    warnings = [record.getMessage() for record in caplog.records]
    assert [words.startswith("skipped: ") for words in warnings] == [True, True]
    assert "foreign.json" in warnings[0]
    assert "stray.json" in warnings[1]


def test_a_folder_of_nothing_but_foreign_files_is_named(tmp_path: Path) -> None:
    (tmp_path / "foreign.json").write_text("{}")
    with pytest.raises(CheckpointError, match=rf"no model card \(\*\.json\) in {tmp_path}; CHECKPOINTS"):
        cards.cards(tmp_path)


def test_checkpoints_here_win_and_else_the_projects_own_are_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CHECKPOINTS", raising=False)
    monkeypatch.chdir(tmp_path)
    assert cards.default_folder() == OWN
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "config.json").write_text("{}")  # another program's, as many have
    assert cards.default_folder() == OWN
    write(tmp_path / "checkpoints", "mine")
    assert cards.default_folder() == Path("checkpoints")
    assert cards.chosen_folder() == Path("checkpoints")
    monkeypatch.setenv("CHECKPOINTS", "/elsewhere")
    assert cards.chosen_folder() == Path("/elsewhere")


def test_shipped_cards_are_found_from_another_folder(tmp_path: Path) -> None:
    command = "from jscc import cards; print(*(card.name for card in cards.cards(cards.default_folder())))"
    environment = {"PYTHONPATH": str(OWN.parent)}
    result = subprocess.run(
        [sys.executable, "-c", command], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    assert result.stdout.split() == sorted(path.stem for path in OWN.glob("*.json"))


def test_a_name_that_is_not_there_is_refused_with_those_that_are() -> None:
    there = [Card(name, "deepjscc", name, name, {}) for name in ("b", "a")]
    with pytest.raises(UnknownCheckpointError, match=r"^method: no checkpoint of 'nosuch' \(there: a, b\)$"):
        cards.choose(there, "nosuch")
    with pytest.raises(UnknownCheckpointError) as refusal:
        cards.choose(there, "x" * 5000)
    assert len(str(refusal.value)) < 200


def test_what_is_written_comes_back(tmp_path: Path) -> None:
    card = Card(
        "a.b", "deepjscc", "1", "2", {"x": 1}, "A B", "analog", {"steps": 3}, ({"snr_db": 0.0, "psnr_db": 20.0},)
    )
    cards.write_card(tmp_path, card)
    assert cards.cards(tmp_path) == [card]
    assert cards.read_card(tmp_path / "a.b.json") == card
