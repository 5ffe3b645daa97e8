"""Addresses are checked for host and port before anything is waited for."""

import pytest

from services.orchestrator.link.addresses import AddressError, check_address, given_addresses, split_address


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("127.0.0.1:50051", "127.0.0.1", 50051),
        ("localhost:1", "localhost", 1),
        ("decoder-model-based:65535", "decoder-model-based", 65535),
        ("some_host.example.org.:80", "some_host.example.org.", 80),
        ("[::1]:50051", "::1", 50051),
        ("[fe80::1%eth0]:5", "fe80::1%eth0", 5),
    ],
)
def test_host_and_port(text: str, host: str, port: int) -> None:
    assert split_address(text) == (host, port)
    assert check_address("--encoder", f" {text}\n") == text


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "no port"),
        ("foo", "no port"),
        ("[::1]", "no port"),
        (":0", "port is not in 1..65535"),
        ("host:0", "port is not in 1..65535"),
        ("host:99999", "port is not in 1..65535"),
        ("host:-1", "port is not in 1..65535"),
        ("host:1x", "port is not in 1..65535"),
        ("host:", "port is not in 1..65535"),
        ("host:\u0661", "port is not in 1..65535"),  # a digit, and no ASCII one
        ("a:b:c", "port is not in 1..65535"),
        (":1", "no host"),
        ("::1:50051", "brackets"),
        ("[::x]:1", "'::x'"),
        ("[1.2.3.4]:1", "1.2.3.4"),
        ("1.2.3:4", "4 octets"),
        ("300.1.1.1:4", "300"),
        ("http://host:1", "scheme"),
        ("dns:///host:1", "scheme"),
        ("two words:1", "no name"),
        ("-x:1", "no name"),
        ("a..b:1", "no name"),
        ("x" * 64 + ":1", "no name"),
        ("x." * 200 + "x:1", "no name"),
    ],
)
def test_what_is_no_address_is_refused_with_the_reason_and_the_form(text: str, reason: str) -> None:
    with pytest.raises(AddressError, match=r"^--encoder: .* is no address: .*; expected host:port, such as") as refusal:
        check_address("--encoder", text)
    assert reason in str(refusal.value)
    assert "\n" not in str(refusal.value)
    assert len(str(refusal.value)) < 300


def test_all_three_or_none() -> None:
    assert given_addresses(None, None, None) is None
    given = given_addresses("a:1", "b:2", "c:3, d:4")
    assert given is not None
    assert (given.encoder, given.channel, given.decoders) == ("a:1", "b:2", ("c:3", "d:4"))
    with pytest.raises(AddressError, match=r"^--channel: give all"):
        given_addresses("a:1", None, "c:3")


@pytest.mark.parametrize(
    ("given", "name"),
    [(("", "b:2", "c:3"), "--encoder"), (("a:1", "b", "c:3"), "--channel"), (("a:1", "b:2", "c:3,,d:4"), "--decoder")],
)
def test_the_option_is_named(given: tuple[str, str, str], name: str) -> None:
    with pytest.raises(AddressError, match=f"^{name}: "):
        given_addresses(*given)
