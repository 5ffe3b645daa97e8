"""One word along the whole path: folder, proto, settings, Dockerfile, compose service, environment variable."""

import contextlib
import importlib
import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic_settings import BaseSettings

from jscc import checkpoints, models
from jscc.cards import UnknownCheckpointError
from jscc.checkpoints import choose
from jscc.wire.v1 import channel_pb2, decoder_pb2, encoder_pb2, orchestrator_pb2
from trainer import settings

REPOSITORY = Path(__file__).parents[2]
SERVICES = sorted(path.parent.name for path in (REPOSITORY / "services").glob("*/__init__.py"))
STUBS = {"channel": channel_pb2, "decoder": decoder_pb2, "encoder": encoder_pb2, "orchestrator": orchestrator_pb2}

every_service = pytest.mark.parametrize("name", SERVICES)


def read(*parts: str) -> str:
    return REPOSITORY.joinpath(*parts).read_text(encoding="utf-8")


@cache
def compose(file: str = "docker-compose.yml") -> dict[str, Any]:
    services: dict[str, Any] = yaml.safe_load(read(file))["services"]
    return services


def environment(name: str, file: str = "docker-compose.yml") -> dict[str, str]:
    """Return what docker-compose.yml sets for a service, written as a mapping or as a list."""
    given = compose(file)[name].get("environment", {})
    return dict(entry.split("=", 1) for entry in given) if isinstance(given, list) else given


def settings_type(name: str) -> type[BaseSettings]:
    module = importlib.import_module(f"services.{name}.settings")
    found: type[BaseSettings] = getattr(module, f"{name.capitalize()}Settings")
    return found


def variables(name: str) -> set[str]:
    """Return the environment variables that a service's settings read."""
    return {field.upper() for field in settings_type(name).model_fields}


def documented(name: str) -> dict[str, str]:
    """Return the defaults in the README's table of settings, by variable."""
    return dict(re.findall(r"^\| `([A-Z][A-Z0-9_]*)` \| ([^|]*?) \|", read("services", name, "README.md"), re.M))


def dockerfile(name: str, instruction: str) -> list[str]:
    """Return the arguments of every such instruction, continuation lines joined."""
    text = read("services", name, "Dockerfile").replace("\\\n", " ")
    return re.findall(rf"^{instruction}\s+(.*)$", text, re.MULTILINE)


def test_there_are_the_four_services() -> None:
    assert SERVICES == ["channel", "decoder", "encoder", "orchestrator"]


@every_service
@pytest.mark.parametrize("file", ["__main__.py", "servicer.py", "settings.py", "Dockerfile", "README.md"])
def test_a_service_folder_has_its_parts(name: str, file: str) -> None:
    assert (REPOSITORY / "services" / name / file).is_file()


@every_service
def test_a_service_has_its_proto_of_the_same_name(name: str) -> None:
    assert f"service {name.capitalize()}Service {{" in read("proto", "jscc", "wire", "v1", f"{name}.proto")
    found = STUBS[name].DESCRIPTOR.services_by_name
    assert list(found) == [f"{name.capitalize()}Service"]
    assert "Describe" in [method.name for method in found[f"{name.capitalize()}Service"].methods]


def test_every_proto_is_of_a_service_or_shared() -> None:
    protos = {path.stem for path in (REPOSITORY / "proto" / "jscc" / "wire" / "v1").glob("*.proto")}
    assert protos == {*SERVICES, "symbols"}


def folder_of(container: str) -> str:
    """Return the folder of a compose service; of several from one folder, a hyphen and more tell them apart."""
    return container.partition("-")[0]


def containers_of(name: str) -> list[str]:
    return [container for container in compose() if folder_of(container) == name]


def test_compose_services_are_the_folders() -> None:
    assert set(SERVICES) <= set(compose())
    assert {folder_of(container) for container in compose()} == set(SERVICES)
    assert {name for name in SERVICES if len(containers_of(name)) > 1} <= {"decoder"}


@every_service
def test_compose_builds_each_service_from_its_own_dockerfile(name: str) -> None:
    for container in containers_of(name):
        build = compose()[container]["build"]
        assert build["dockerfile"] == f"services/{name}/Dockerfile"
        assert build["context"] == "."
        assert compose()[container]["image"] == f"jscc-link/{container}"


@every_service
def test_an_image_holds_the_library_and_its_own_service_alone(name: str) -> None:
    copied = {
        source.strip("./").rstrip("/")
        for arguments in dockerfile(name, "(?:COPY|ADD)")
        if "--from=" not in arguments
        for source in arguments.split()[:-1]
        if not source.startswith("--")
    }
    assert {"jscc", f"services/{name}"} <= copied
    assert copied <= {"jscc", f"services/{name}", "services/__init__.py", "pyproject.toml", "requirements.lock"}


@every_service
def test_an_image_starts_its_own_service(name: str) -> None:
    commands = dockerfile(name, "CMD")
    assert len(commands) == 1
    assert json.loads(commands[0]) == ["python", "-m", f"services.{name}"]


@every_service
def test_variables_in_compose_and_dockerfile_are_settings(name: str) -> None:
    """Or documented in the service's README, as JSCC_DATA is, or Python's own."""
    inside = {item.split("=")[0] for arguments in dockerfile(name, "ENV") for item in arguments.split() if "=" in item}
    known = variables(name) | set(documented(name))
    for container in containers_of(name):
        assert set(environment(container)) <= known
    assert {item for item in inside if not item.startswith(("PYTHON", "PIP_"))} <= known
    assert "LISTEN_ADDRESS" in inside | set(environment(name))


@every_service
def test_the_readme_lists_every_setting(name: str) -> None:
    assert variables(name) <= set(documented(name))
    beyond = set(documented(name)) - variables(name)
    assert all(variable.startswith("JSCC_") for variable in beyond)


@every_service
def test_the_readme_states_the_defaults_that_hold(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in variables(name):
        monkeypatch.delenv(variable, raising=False)
    for field, value in settings_type(name)().model_dump().items():
        stated = documented(name)[field.upper()].split(";")[0].strip("`")
        if isinstance(value, bool):
            assert stated == str(value).lower(), field
        elif isinstance(value, int | float):
            assert float(stated) == value, field
        else:
            assert stated == ("none" if value is None else str(value) or "all"), field


def test_the_orchestrator_finds_the_others_by_their_names() -> None:
    """Folder `channel` = compose service `channel` = CHANNEL_ADDRESS, at the port that the service listens on."""
    others = [name for name in SERVICES if name != "orchestrator"]
    addresses = {variable for variable in variables("orchestrator") if variable.endswith("_ADDRESS")}
    assert addresses - {"LISTEN_ADDRESS"} == {f"{name.upper()}_ADDRESS" for name in others}
    for name in others:
        listens = re.search(r"LISTEN_ADDRESS=\S+:(\d+)", " ".join(dockerfile(name, "ENV")))
        assert listens is not None
        expected = ",".join(f"{container}:{listens[1]}" for container in containers_of(name))
        assert environment("orchestrator")[f"{name.upper()}_ADDRESS"] == expected


def test_the_orchestrator_waits_for_the_others() -> None:
    assert sorted(compose()["orchestrator"]["depends_on"]) == sorted(set(compose()) - {"orchestrator"})


def unless_set(value: str) -> str:
    """Return what ${VARIABLE:-default} stands for where the variable is not set."""
    return re.sub(r"\$\{[A-Z_]+:-([^}]*)\}", r"\1", value)


def test_every_shipped_checkpoint_has_one_decoder() -> None:
    cards = checkpoints.cards(REPOSITORY / "checkpoints")
    served: list[str] = []
    for container in containers_of("decoder"):
        wanted = unless_set(environment(container)["METHODS"])
        with contextlib.suppress(UnknownCheckpointError):  # a method of its own may have no weights yet
            served += [card.name for card in choose(cards, wanted)]
    assert sorted(served) == sorted(card.name for card in cards)


def test_a_decoder_of_its_own_is_named_after_its_method() -> None:
    for container in containers_of("decoder"):
        if container != "decoder":
            assert container == f"decoder-{environment(container)['METHODS'].replace('_', '-')}"
            assert environment(container)["METHODS"] in models.names()


@every_service
def test_the_health_check_probes_the_port_that_the_service_listens_on(name: str) -> None:
    commands = [compose()[container]["healthcheck"]["test"] for container in containers_of(name)]
    listens = re.search(r"LISTEN_ADDRESS=\S+:(\d+)", " ".join(dockerfile(name, "ENV")))
    assert listens is not None
    assert commands == [["CMD", "python", "-m", "jscc.wire.probe", f"127.0.0.1:{listens[1]}"]] * len(commands)
    assert dockerfile(name, "EXPOSE") == [listens[1]]


def test_with_tls_every_container_has_certificates_of_its_own() -> None:
    with_tls = compose("docker-compose.tls.yml")
    assert set(with_tls) == set(compose())
    made = re.search(r"^CERTIFIED := (.*)$", read("Makefile"), re.MULTILINE)
    assert made is not None
    assert set(made[1].split()) == {*compose(), "user"}
    for container in compose():
        settings = environment(container, "docker-compose.tls.yml")
        assert set(settings) <= variables(folder_of(container))
        assert settings["PLAIN_TEXT"] == settings_type(folder_of(container))().model_dump()["plain_text"]
        assert {"TLS_CERTIFICATE", "TLS_KEY", "TLS_CA", "TLS_CLIENT_CA"} <= set(settings)
        assert with_tls[container]["volumes"] == [f"${{CERTS:-./build/certs}}/{container}:/certs:ro"]


def test_without_tls_every_container_trusts_its_network() -> None:
    assert {container: environment(container)["PLAIN_TEXT"] for container in compose()} == dict.fromkeys(
        compose(), "trusted-network"
    )


@every_service
def test_the_entry_point_reads_its_own_settings(name: str) -> None:
    assert f"read({name.capitalize()}Settings)" in read("services", name, "__main__.py")


@pytest.mark.parametrize("path", sorted((REPOSITORY / "checkpoints").glob("*.json")), ids=lambda path: path.stem)
def test_a_shipped_card_is_called_what_its_recipe_says(path: Path) -> None:
    card, method = checkpoints.read_card(path), settings.load(REPOSITORY / "configs" / f"{path.stem}.toml").method
    assert (card.method, card.label, card.family) == (method.name, method.label, method.family)
    assert card.label != card.name


def test_figures_know_no_method_by_name() -> None:
    text = read("services", "orchestrator", "report", "style.py")
    assert not [card.name for card in checkpoints.cards(REPOSITORY / "checkpoints") if f'"{card.name}"' in text]
