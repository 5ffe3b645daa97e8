"""Which receiver hears which transmitter, and what is said where none does."""

from collections.abc import AsyncIterator

import pytest

from jscc.wire.client import Client
from jscc.wire.v1 import symbols_pb2 as pb
from services.orchestrator.link.routes import RouteError, match
from services.orchestrator.sweep.record import method_info


@pytest.fixture
async def decoders() -> AsyncIterator[tuple[Client, Client]]:
    """Two connections with nobody at the other end."""
    clients = Client("decoder", "127.0.0.1:1"), Client("decoder", "127.0.0.1:2")
    yield clients
    for client in clients:
        await client.close()


def served(name: str, digest: str, hears: str = "", **fields: object) -> pb.ServedMethod:
    method = name.split("_")[0]
    known = {"method": method, "transmitter_method": method, "rho": 0.25, "parameters": 5, **fields}
    return pb.ServedMethod(name=name, checkpoint_digest=digest, transmitter_digest=hears or digest, **known)


def description(*methods: pb.ServedMethod) -> pb.ServiceDescription:
    return pb.ServiceDescription(methods=methods)


ENCODER = description(served("deep", "d1"), served("model", "m1"), served("model_12", "m2", rho=0.0625, parameters=3))


def test_every_checkpoint_has_a_route_by_its_name(decoders: tuple[Client, Client]) -> None:
    first = description(served("deep", "d1"), served("model", "m1"), served("model_12", "m2"))
    table = match(ENCODER, [(decoders[0], first)])
    assert {name: (route.transmitter.name, route.digest) for name, route in table.routes.items()} == {
        "deep": ("deep", "d1"),
        "model": ("model", "m1"),
        "model_12": ("model_12", "m2"),
    }
    assert table.find("model_12").rho == 0.0625
    assert table.find("").name == table.default() == "deep"


def test_no_more_than_100_characters_of_an_unknown_name_are_repeated(decoders: tuple[Client, Client]) -> None:
    table = match(ENCODER, [(decoders[0], description(served("deep", "d1")))])
    with pytest.raises(RouteError) as refusal:
        table.find("x" * 3000)
    assert str(refusal.value) == f"method: '{'x' * 100}' is not served by this link (served: deep)"


def test_the_default_is_the_best_measured_of_the_highest_rate(decoders: tuple[Client, Client]) -> None:
    served_here = description(
        served("deep", "d1", kodak_psnr_db=30.4),
        served("model", "m1", kodak_psnr_db=31.5),
        served("model_12", "m2", kodak_psnr_db=33.0),
    )
    encoder = description(served("deep", "d1"), served("model", "m1"), served("model_12", "m2", rho=0.0625))
    assert match(encoder, [(decoders[0], served_here)]).default() == "model"


def test_a_header_on_top_does_not_make_a_method_the_default(decoders: tuple[Client, Client]) -> None:
    """512 symbols more than others of a Kodak image's 294,912."""
    served_here = description(served("deep", "d1", kodak_psnr_db=30.4), served("model", "m1", kodak_psnr_db=31.5))
    encoder = description(served("deep", "d1", rho=295_424 / (3 * 512 * 768)), served("model", "m1", rho=0.25))
    assert match(encoder, [(decoders[0], served_here)]).default() == "model"


def test_another_receiver_hears_the_transmitter_whose_digest_it_names(decoders: tuple[Client, Client]) -> None:
    learned = [pb.LearnedValues(name="gain", values=[0.5, 2.0])]
    listener = served("steps", "s1", "d1", transmitter_method="deep", parameters=9, learned=learned)
    table = match(ENCODER, [(decoders[0], description(served("deep", "d1"))), (decoders[1], description(listener))])
    route = table.find("steps")
    assert (route.transmitter.name, route.is_whole, route.decoder) == ("deep", False, decoders[1])
    assert table.find("deep").is_whole
    info = method_info(route)
    assert (info.name, info.checkpoint, info.transmitter_checkpoint) == ("steps", "s1", "d1")
    assert (info.transmitter_parameters, info.receiver_parameters) == (5, 9)
    assert info.learned == {"gain": (0.5, 2.0)}


def test_the_first_decoder_of_a_name_gets_it(decoders: tuple[Client, Client]) -> None:
    there = description(served("deep", "d1"))
    table = match(ENCODER, [(decoders[0], there), (decoders[1], there)])
    assert table.find("deep").decoder is decoders[0]
    elsewhere = description(served("deep", "d9"))
    table = match(ENCODER, [(decoders[0], elsewhere), (decoders[1], there)])
    assert table.find("deep").decoder is decoders[1]
    assert not table.unmatched


def test_a_receiver_of_other_symbols_is_refused_with_both_sides(decoders: tuple[Client, Client]) -> None:
    listener = served("steps", "s1", "d9", transmitter_method="deep")
    sentence = (
        "decoder at 127.0.0.1:1 serves 'steps', which needs the symbols of 'deep' d9; "
        "the encoder serves 'deep' d1, 'model' m1, 'model_12' m2"
    )
    with pytest.raises(RouteError) as at_once:
        match(ENCODER, [(decoders[0], description(listener))])
    assert str(at_once.value) == f"method: {sentence}"
    table = match(ENCODER, [(decoders[0], description(listener, served("deep", "d1")))])
    assert list(table.routes) == ["deep"]
    with pytest.raises(RouteError) as when_asked:
        table.find("steps")
    assert str(when_asked.value) == f"method: {sentence}"


def test_an_unknown_name_is_refused_with_those_that_are_served(decoders: tuple[Client, Client]) -> None:
    table = match(ENCODER, [(decoders[0], description(served("model", "m1"), served("deep", "d1")))])
    with pytest.raises(RouteError, match=r"^method: 'model_12' is not served by this link \(served: deep, model\)$"):
        table.find("model_12")
