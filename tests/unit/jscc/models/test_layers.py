"""Layers that more than one method uses."""

import pytest
import torch
from torch import nn

from jscc.models._layers import CONDITIONED_SNR_DB, FiLM


@pytest.mark.parametrize(("snr_db", "end_db"), [(60.0, CONDITIONED_SNR_DB[1]), (-30.0, CONDITIONED_SNR_DB[0])])
def test_film_acts_beyond_the_snrs_of_training_as_at_their_ends(snr_db: float, end_db: float) -> None:
    torch.manual_seed(0)
    film, x = FiLM(3), torch.randn(1, 3, 2, 2)
    for table in (film.scale, film.shift):
        nn.init.normal_(table.values)
    beyond, at_end, inside = (film(x, torch.tensor([value])) for value in (snr_db, end_db, 0.0))
    assert torch.equal(beyond, at_end)
    assert not torch.equal(at_end, inside)
