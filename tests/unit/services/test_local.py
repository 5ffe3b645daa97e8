"""How decoders share the methods."""

import json
from pathlib import Path

import pytest

from jscc.checkpoints import Card, choose
from jscc.models import UnknownMethodError
from services.orchestrator.link.local import LocalLink, decoder_groups

CARDS = [
    Card(name, method, digest, digest, {})
    for name, method, digest in (("deep", "deep", "1"), ("model", "model", "2"), ("model_12", "model", "3"))
]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ()),
        ("model", ("all,-model", "model")),
        ("deep, model", ("deep", "model")),
        ("each", ("deep", "model")),
        ("model_12", ("all,-model_12", "model_12")),
    ],
)
def test_every_checkpoint_gets_one_decoder(text: str, expected: tuple[str, ...]) -> None:
    assert decoder_groups(text, CARDS) == expected
    served = [card.name for group in expected or ("",) for card in choose(CARDS, group)]
    assert sorted(served) == ["deep", "model", "model_12"]


def test_a_method_that_is_not_there_is_refused() -> None:
    with pytest.raises(UnknownMethodError, match="no checkpoint of 'telepathy'"):
        decoder_groups("deep,telepathy", CARDS)


def test_services_are_named_after_what_they_serve_and_found_again(tmp_path: Path) -> None:
    """Nothing of this runs any more: the state is that of a link whose processes are gone."""
    gone = 2**22 + 1  # above the largest process id of Linux
    entries = [
        {"hop": hop, "address": f"127.0.0.1:{port}", "pid": gone, "log": ""}
        for port, hop in enumerate(("encoder", "channel", "decoder", "decoder"), start=1)
    ]
    entries[2]["methods"], entries[3]["methods"] = "all,-model_based", "model_based"
    (tmp_path / "link.json").write_text(json.dumps(entries))
    link = LocalLink(tmp_path)
    assert list(link.processes) == ["encoder", "channel", "decoder", "decoder-model-based"]
    assert link.addresses.decoders == ("127.0.0.1:3", "127.0.0.1:4")
    assert not link.is_running
    assert not LocalLink(tmp_path, ("deep", "model")).processes  # other decoders: nothing to go on with
