"""How decoders share the methods, and what the file of a local link's state may hold."""

import fcntl
import json
import threading
from pathlib import Path
from typing import Any

import factories
import pytest

from jscc.cards import UnknownCheckpointError, choose
from services.orchestrator.link.local import LocalLink, decoder_groups, state_folder

CARDS = [
    factories.card(name, method, digest=digest, transmitter_digest=digest)
    for name, method, digest in (("deep", "deep", "1"), ("model", "model", "2"), ("model_12", "model", "3"))
]
GONE = 2**22 + 1
"""Above the largest process id of Linux."""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ()),
        ("model", ("all,-model", "model")),
        ("deep, model", ("deep", "model")),
        ("deep,model,deep", ("deep", "model")),
        ("each", ("deep", "model")),
        ("model_12", ("all,-model_12", "model_12")),
    ],
)
def test_every_checkpoint_gets_one_decoder(text: str, expected: tuple[str, ...]) -> None:
    assert decoder_groups(text, CARDS) == expected
    served = [card.name for group in expected or ("",) for card in choose(CARDS, group)]
    assert sorted(served) == ["deep", "model", "model_12"]


def test_a_method_that_is_not_there_is_refused() -> None:
    with pytest.raises(UnknownCheckpointError, match=r"no checkpoint of 'telepathy' \(there: deep, model, model_12\)"):
        decoder_groups("deep,telepathy", CARDS)


def entry(hop: str, port: int, **changes: Any) -> dict[str, Any]:
    return {"hop": hop, "address": f"127.0.0.1:{port}", "pid": GONE, "started_s": 1.0, "log": "", **changes}


def write(folder: Path, *entries: dict[str, Any]) -> None:
    (folder / "link.json").write_text(json.dumps(entries))


def test_services_are_named_after_what_they_serve_and_found_again(tmp_path: Path) -> None:
    """Nothing of this runs any more: the state is that of a link whose processes are gone."""
    decoders = (entry("decoder", 3, methods="all,-model_based"), entry("decoder", 4, methods="model_based"))
    write(tmp_path, entry("encoder", 1), entry("channel", 2), *decoders)
    link = LocalLink(tmp_path)
    assert list(link.processes) == ["encoder", "channel", "decoder", "decoder-model-based"]
    assert link.addresses.decoders == ("127.0.0.1:3", "127.0.0.1:4")
    assert not link.is_running
    assert not LocalLink(tmp_path, ("deep", "model")).processes  # other decoders: nothing to go on with


def test_a_link_whose_processes_are_gone_is_taken_down_without_counting_them(tmp_path: Path) -> None:
    write(tmp_path, entry("encoder", 1), entry("channel", 2), entry("decoder", 3))
    assert LocalLink(tmp_path).stop() == []
    assert not (tmp_path / "link.json").exists()
    assert LocalLink(tmp_path).stop() == []


def test_a_part_of_a_link_is_no_link(tmp_path: Path) -> None:
    write(tmp_path, entry("encoder", 1))
    link = LocalLink(tmp_path)
    assert not link.is_running
    with pytest.raises(ValueError, match=r"^link: the channel was not started; `jscc-link up` starts it$"):
        _ = link.addresses


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "Expecting value"),
        ("{", "line 1"),
        ('{"a": 1}', "expected a list"),
        ("[3]", "process 0: expected a table, got 3"),
        ('[{"hop": "encoder"}]', "process 0: missing key 'address'"),
        (json.dumps([entry("encoder", 1, pid="7")]), "process 0: pid: expected a whole number, got '7'"),
        (json.dumps([entry("encoder", 1, pid=-1)]), "process 0: pid: -1 is no process id"),
        (json.dumps([entry("encoder", 1), entry("antenna", 1)]), "process 1: hop: expected one of encoder"),
        (json.dumps([entry("encoder", 0)]), "process 0: address: '127.0.0.1:0' is no address"),
        ("[" * 100_000, "recursion"),
        ("\x00\xff", "utf-8"),
    ],
)
def test_a_damaged_state_is_named_with_the_reason_and_the_remedy(tmp_path: Path, text: str, reason: str) -> None:
    path = tmp_path / "link.json"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(
        ValueError, match=rf"^{path}: damaged \(.*\); end what still runs .*, then delete the file$"
    ) as refusal:
        LocalLink(tmp_path)
    assert reason in str(refusal.value)
    assert path.exists()


def test_a_folder_that_cannot_be_one_is_named(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("")
    with pytest.raises(ValueError, match=rf"^{file}/link\.json: Not a directory; JSCC_STATE names another folder$"):
        LocalLink(file)


def test_who_cannot_be_started_takes_nobody_along(tmp_path: Path) -> None:
    """The decoder's log cannot be written; encoder and channel had begun to start by then."""
    (tmp_path / "decoder.log").mkdir()
    (tmp_path / "decoder.previous.log").write_text("")
    link = LocalLink(tmp_path, say=lambda _line: None)
    with pytest.raises(OSError, match=r"decoder"):
        link.start()
    assert (tmp_path / "encoder.log").exists()
    assert not link.processes
    assert not (tmp_path / "link.json").exists()


def test_two_commands_at_once_take_turns(tmp_path: Path) -> None:
    """The second one waits, says so, and reads anew what the first one did."""
    said, told = list[str](), threading.Event()

    def say(line: str) -> None:
        said.append(line)
        told.set()

    write(tmp_path, entry("encoder", 1))
    link = LocalLink(tmp_path, say=say)
    second = threading.Thread(target=link.stop)
    with (tmp_path / "link.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        second.start()
        assert told.wait(60)
        assert (tmp_path / "link.json").exists()
    second.join(60)
    assert not (tmp_path / "link.json").exists()
    assert said[0].startswith("waiting for another jscc-link command")


def test_the_state_is_kept_where_the_system_keeps_states(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("JSCC_STATE", raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert state_folder() == tmp_path / "jscc-link"
    monkeypatch.setenv("JSCC_STATE", "/elsewhere")
    assert state_folder() == Path("/elsewhere")
