"""Tables of what a link is and serves."""

from collections.abc import Mapping, Sequence

from rich import box
from rich.table import Table

from jscc.wire import convert
from jscc.wire.v1 import symbols_pb2
from services.orchestrator.cli.methods import Listed


def service_table(descriptions: list[symbols_pb2.ServiceDescription]) -> Table:
    """Show what every service of a link serves, and the options with their defaults."""
    table = Table(title="link")
    for name in ("service", "serves", "device", "precision", "version"):
        table.add_column(name)
    for item in descriptions:
        serves = [_served(method) for method in item.methods]
        channels = [" ".join([kind.name, *_options(kind.options)]) for kind in item.channels]
        table.add_row(item.service, "\n".join(serves or channels), item.device, item.precision, item.version)
    return table


def _served(method: symbols_pb2.ServedMethod) -> str:
    parts = [method.name, f"rho={method.rho:.4f}", method.checkpoint_digest]
    if method.transmitter_digest != method.checkpoint_digest:
        parts.append(f"of symbols of {method.transmitter_method} {method.transmitter_digest}")
    return " ".join([*parts, *_options(method.send_options), *_options(method.receive_options)])


def _options(values: Mapping[str, symbols_pb2.OptionValue]) -> list[str]:
    return [f"{name}={value}" for name, value in sorted(convert.plain_options(values).items())]


def learned_table(descriptions: list[symbols_pb2.ServiceDescription]) -> Table:
    """Show the learned values that the services of a link tell of."""
    table = Table(title="learned values", box=box.SIMPLE, pad_edge=False)
    for name in ("method", "value", ""):
        table.add_column(name)
    for item in descriptions:
        for method in item.methods:
            for learned in method.learned:
                table.add_row(method.name, learned.name, " ".join(f"{value:.4g}" for value in learned.values))
    return table


def method_table(listed: Sequence[Listed]) -> Table:
    """Show methods with their rates, sizes and mean quality over the SNRs of their cards; the default is marked."""
    table = Table(box=box.SIMPLE, pad_edge=False)
    table.add_column("name", no_wrap=True)
    table.add_column("method", no_wrap=True)
    for name in ("rho", "parameters", "Kodak PSNR"):
        table.add_column(name, justify="right", no_wrap=True)
    for item in listed:
        quality = "" if item.kodak_psnr_db is None else f"{item.kodak_psnr_db:.2f} dB"
        name = f"{item.name} (default)" if item.is_default else item.name
        table.add_row(name, item.method, f"{item.rho:.4f}", f"{item.parameters / 1e6:.1f} M", quality)
    return table
