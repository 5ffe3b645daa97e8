"""What `send` shows of images that arrived when a later one fails."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import factories
import numpy as np
import pytest

from jscc.images import read_image
from jscc.wire.errors import LinkError
from services.orchestrator.cli.transmit import Answer, show

PIXELS = np.full((4, 5, 3), 90, np.uint8)


async def answers(arrive: int) -> AsyncIterator[Answer]:
    for number in range(arrive):
        yield Answer(Path(f"{number}.png"), factories.row(draw=number), PIXELS)
    raise LinkError("decoder", "127.0.0.1:1", "UNAVAILABLE", "away")


@pytest.mark.parametrize("arrive", [0, 2])
async def test_a_failure_loses_no_image_that_arrived(
    arrive: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    targets = [tmp_path / f"{number}.png" for number in range(3)]
    with pytest.raises(LinkError, match="away"):
        await show(answers(arrive), targets, None, as_json=True)
    shown = capsys.readouterr().out
    documents = json.loads(shown) if arrive else []
    assert [(item["draw"], item["output"]) for item in documents] == [(n, str(targets[n])) for n in range(arrive)]
    assert [path.exists() for path in targets] == [number < arrive for number in range(3)]
    for path in targets[:arrive]:
        np.testing.assert_array_equal(read_image(path), PIXELS)
