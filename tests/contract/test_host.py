"""What a folder of checkpoints may hold beside good ones."""

import json
import logging
import shutil
from pathlib import Path

import pytest

from jscc.serving.host import Host


def test_foreign_and_unknown_cards_do_not_stop_a_service(
    tiny_checkpoints: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for file in tiny_checkpoints.iterdir():
        shutil.copy(file, tmp_path)
    card = json.loads((tmp_path / "deepjscc.json").read_text())
    (tmp_path / "later.json").write_text(json.dumps({**card, "name": "later", "method": "telepathy"}))
    (tmp_path / "package.json").write_text('{"name": "package", "version": "1.0.0"}')
    with caplog.at_level(logging.WARNING):
        host = Host(tmp_path, "receiver", "", "cpu", "float32")
    assert host.names == ("deepjscc",)
    assert [record.getMessage().split(":")[0] for record in caplog.records] == [
        "skipped",
        "checkpoint later is not served",
    ]
    with pytest.raises(LookupError, match=r"'later' is not served here .*'telepathy'"):
        host.find("later")


def test_a_card_cannot_lead_out_of_its_folder(tiny_checkpoints: Path, tmp_path: Path) -> None:
    card = json.loads((tiny_checkpoints / "deepjscc.json").read_text())
    inner = tmp_path / "inner"
    inner.mkdir()
    shutil.copy(tiny_checkpoints / "deepjscc.safetensors", tmp_path)
    (inner / "deepjscc.json").write_text(json.dumps({**card, "name": "../deepjscc"}))
    with pytest.raises(ValueError, match="no model card"):
        Host(inner, "receiver", "", "cpu", "float32")
