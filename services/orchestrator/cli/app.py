"""`jscc-link`: the link from the command line."""

import asyncio
import os
import signal
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
from rich.console import Console

from jscc.checkpoints import cards
from jscc.data.datasets import open_dataset
from jscc.images import ImageError
from jscc.wire.codec import CodecError
from jscc.wire.errors import LinkError
from services.orchestrator.cli import arguments, commands, terminal
from services.orchestrator.cli.arguments import (
    ChannelAddress,
    ChannelModel,
    DecoderAddress,
    EncoderAddress,
    MethodOptions,
)
from services.orchestrator.link.local import LocalLink, decoder_groups, state_folder
from services.orchestrator.link.routes import RouteError
from services.orchestrator.link.session import given_addresses
from services.orchestrator.link.star import Addresses
from services.orchestrator.report.write import write_report
from services.orchestrator.sweep import whole
from services.orchestrator.sweep.plan import SweepSpec
from services.orchestrator.sweep.recovery import SweepError

T = TypeVar("T")

app = typer.Typer(help=__doc__, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
console = Console()
errors = Console(stderr=True)


@app.command()
def up(
    decoders: Annotated[
        str, typer.Option(help="methods that get a decoder process of their own, separated by commas; each for all")
    ] = "",
) -> None:
    """Start encoder, channel and decoder as local processes on free ports; start again what has died."""
    groups: tuple[str, ...] = ()
    if decoders:
        folder = Path(os.environ.get("CHECKPOINTS") or "checkpoints")
        groups = _checked(lambda text: decoder_groups(text, cards(folder)), decoders)
    _run(commands.bring_up(groups, _say))


@app.command()
def down() -> None:
    """Stop the local processes that `up` started."""
    link = LocalLink(state_folder())
    count = len(link.processes)
    link.stop()
    console.print(f"stopped {count} services" if count else "no link is up")


@app.command()
def status(encoder: EncoderAddress = None, channel: ChannelAddress = None, decoder: DecoderAddress = None) -> None:
    """Say what runs, where, and what it serves; exit code 1 when the link does not serve."""
    _run(commands.show_status(_addresses(encoder, channel, decoder), console))


@app.command()
def send(
    image: Annotated[Path, typer.Argument(help="the image: any format, size and mode up to 4096x4096 px")],
    snr_db: Annotated[float, typer.Option("--snr-db", help="channel SNR in dB, -30..60")] = 10.0,
    method: Annotated[str, typer.Option("--method", help="name of the method; the link's default when left out")] = "",
    output: Annotated[Path | None, typer.Option("-o", "--output", help="where to write the received image")] = None,
    channel_model: ChannelModel = "awgn",
    option: MethodOptions = None,
    seed: Annotated[int, typer.Option(help="root seed of the noise")] = 0,
    draw: Annotated[int, typer.Option(help="number of the noise draw")] = 0,
    orchestrator: Annotated[
        str | None, typer.Option("--orchestrator", envvar="ORCHESTRATOR_ADDRESS", help="host:port of its API")
    ] = None,
    encoder: EncoderAddress = None,
    channel: ChannelAddress = None,
    decoder: DecoderAddress = None,
) -> None:
    """Send one image through the link; print its quality and where the time went."""
    addresses = _addresses(encoder, channel, decoder)
    air, noise, options = (channel_model, snr_db), (seed, draw), _options(option)
    request = _checked(lambda path: commands.send_request(path, method, air, options, noise), image)
    if orchestrator:
        answer = _run(commands.send_to(orchestrator, request))
    else:
        answer = _run(commands.send_directly(addresses, request, _say))
    console.print(terminal.quality_table(answer.report), terminal.hop_table(answer.report))
    if output is not None:
        commands.save(answer, output)
        console.print(f"wrote {output}")


@app.command()
def bench(
    image: Annotated[Path | None, typer.Argument(help="the image to send; a sample when left out")] = None,
    count: Annotated[int, typer.Option(min=1, max=10_000, help="transmissions that are counted")] = 20,
    warm_up: Annotated[int, typer.Option(min=0, max=1000, help="transmissions before that")] = 3,
    snr_db: Annotated[float, typer.Option("--snr-db", help="channel SNR in dB, -30..60")] = 10.0,
    method: Annotated[str, typer.Option("--method", help="name of the method; the link's default when left out")] = "",
    encoder: EncoderAddress = None,
    channel: ChannelAddress = None,
    decoder: DecoderAddress = None,
) -> None:
    """Send one image again and again; print the latency of every part of the way."""
    request = _checked(
        lambda path: commands.send_request(path, method, ("awgn", snr_db), {}, (0, 0)), image or _sample()
    )
    reports = _run(commands.send_often(_addresses(encoder, channel, decoder), request, (warm_up, count), _say))
    console.print(terminal.latency_table(reports))


@app.command()
def sweep(
    dataset: Annotated[str, typer.Option(help="kodak, samples, or a folder of images")] = "kodak",
    methods: Annotated[
        str, typer.Option(help="served names separated by commas; all for everything; empty for the default")
    ] = "",
    snr_db: Annotated[str, typer.Option("--snr-db", help="SNRs in dB, separated by commas")] = "-5,0,5,10,15,20",
    draws: Annotated[int, typer.Option(help="noise draws per image and SNR")] = 1,
    out: Annotated[Path, typer.Option(help="folder of the results; the same folder resumes")] = Path("runs/sweep"),
    seed: Annotated[int, typer.Option(help="root seed of the noise")] = 0,
    channel_model: ChannelModel = "awgn",
    option: MethodOptions = None,
    studies: Annotated[
        bool | None, typer.Option(help="send the methods' studies of their options too; left out: with all methods")
    ] = None,
    references: Annotated[
        str, typer.Option(help="none, cheap (PSNR alone) or all; left out: all with all methods, else cheap")
    ] = "",
    concurrency: Annotated[int, typer.Option(help="transmissions under way at once")] = 4,
    patience_s: Annotated[float, typer.Option(help="how long an unreachable service is waited for")] = 300.0,
    encoder: EncoderAddress = None,
    channel: ChannelAddress = None,
    decoder: DecoderAddress = None,
) -> None:
    """Sweep images, methods, SNRs and noise draws; resume what is in --out; write the report."""
    names = tuple(name.strip() for name in methods.split(",") if name.strip())
    wanted = whole.SweepCommand(
        dataset=_checked(open_dataset, dataset),
        methods=names,
        snr_db=tuple(_checked(arguments.number, item) for item in snr_db.split(",")),
        folder=out,
        command=" ".join(sys.argv[1:]),
        references=_checked(whole.known_references, references or ("all" if names == whole.ALL else "cheap")),
    )
    settings = {
        "draws": draws,
        "seed": seed,
        "channel": channel_model,
        "options": _options(option),
        "studies": names == whole.ALL if studies is None else studies,
        "concurrency": concurrency,
        "patience_s": patience_s,
    }
    _checked(lambda values: SweepSpec(methods=wanted.methods, snr_db=wanted.snr_db, **values), settings)
    if wanted.dataset.note:
        _say(wanted.dataset.note)
    with terminal.Bars(errors) as bars:
        _run(whole.run_sweep(wanted, settings, _addresses(encoder, channel, decoder), bars))
    console.print(_checked(write_report, out), markup=False, highlight=False, soft_wrap=True)


@app.command()
def report(folder: Annotated[Path, typer.Argument(help="folder of a sweep, with results.sqlite")]) -> None:
    """Rebuild results.csv, summary.md and the figures of a sweep from its database."""
    console.print(_checked(write_report, folder), markup=False, highlight=False, soft_wrap=True)


def main() -> None:
    """Run the command line; SIGTERM ends a command as Ctrl-C does."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    app()


def _run(work: Coroutine[Any, Any, T]) -> T:
    try:
        return asyncio.run(work)
    except (LinkError, RouteError, SweepError, ImageError, CodecError, ValueError, OSError) as error:
        errors.print(f"error: {error}", style="red", markup=False, soft_wrap=True)
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        errors.print("interrupted; what is done is kept")
        raise typer.Exit(130) from None


def _checked(function: Any, value: Any) -> Any:
    try:
        return function(value)
    except (ValueError, LookupError, OSError) as error:
        errors.print(f"error: {error}", style="red", markup=False, soft_wrap=True)
        raise typer.Exit(2) from None


def _addresses(encoder: str | None, channel: str | None, decoder: str | None) -> Addresses | None:
    result: Addresses | None = _checked(lambda values: given_addresses(*values), (encoder, channel, decoder))
    return result


def _sample() -> Path:
    return open_dataset("samples").images[0].path


def _options(texts: list[str] | None) -> dict[str, Any]:
    return dict(_checked(arguments.option, text) for text in texts or [])


def _say(line: str) -> None:
    errors.print(line, markup=False, highlight=False, soft_wrap=True)


if __name__ == "__main__":
    main()
