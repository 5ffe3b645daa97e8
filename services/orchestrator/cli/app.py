"""`jscc-link`: the link from the command line. Long, since every command lists its options here and little else."""

import shlex
import signal
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from services.orchestrator.cli import arguments
from services.orchestrator.cli.arguments import (
    AsJson,
    ChannelAddress,
    ChannelModel,
    ChannelOptions,
    DecoderAddress,
    EncoderAddress,
    MethodOptions,
    ToldSnr,
    WaitSeconds,
)
from services.orchestrator.cli.failures import FAILED, main_of
from services.orchestrator.cli.failures import attempt as _attempt
from services.orchestrator.cli.failures import checked as _checked
from services.orchestrator.cli.failures import run as _run
from services.orchestrator.cli.output import console, show, show_json
from services.orchestrator.cli.output import say as _say
from services.orchestrator.cli.served import check_names
from services.orchestrator.link.addresses import Addresses, check_address, given_addresses
from services.orchestrator.link.airs import air_of
from services.orchestrator.option_text import option as text_option

# What a command needs beyond reading its arguments is imported when it runs: torch and matplotlib take seconds.
app = typer.Typer(help=__doc__, pretty_exceptions_enable=False, rich_markup_mode=None)


@app.command()
def up(
    decoders: Annotated[
        str, typer.Option(help="methods that get a decoder process of their own, separated by commas; each for all")
    ] = "",
    wait_s: Annotated[float, typer.Option("--wait-s", help="how long the services may take, 1..3600 s")] = 300.0,
) -> None:
    """Start encoder, channel and decoder as local processes on free ports; start again what has died."""
    from services.orchestrator.cli import commands

    _checked(arguments.wait_s, wait_s)
    groups = _checked(commands.wanted_decoders, decoders)
    _attempt(commands.bring_up, groups, wait_s)


@app.command()
def down() -> None:
    """Stop the local processes that `up` started."""
    from services.orchestrator.cli import commands

    _attempt(commands.take_down)


@app.command()
def status(
    as_json: AsJson = False,
    encoder: EncoderAddress = None,
    channel: ChannelAddress = None,
    decoder: DecoderAddress = None,
) -> None:
    """Say what runs, where, and what it serves; exit code 1 when the link does not serve."""
    from services.orchestrator.cli import commands

    addresses = _addresses(encoder, channel, decoder)
    if addresses is None and _attempt(commands.nothing_is_up, as_json):
        raise typer.Exit(FAILED)
    from services.orchestrator.cli.status import show_status

    if not _run(show_status(addresses, as_json)):
        raise typer.Exit(FAILED)


@app.command()
def methods(
    as_json: AsJson = False,
    encoder: EncoderAddress = None,
    channel: ChannelAddress = None,
    decoder: DecoderAddress = None,
) -> None:
    """List methods with rates, sizes, quality and options: those of the link that is up, else of the checkpoints."""
    addresses = _addresses(encoder, channel, decoder)
    from services.orchestrator.cli.methods import list_methods

    _attempt(list_methods, addresses, as_json)


@app.command()
def send(
    images: Annotated[list[Path] | None, typer.Argument(help="images or folders of images, up to 4096x4096 px")] = None,
    snr_db: Annotated[float, typer.Option("--snr-db", help="SNR that the channel has, in dB, -30..60")] = 10.0,
    told_snr_db: ToldSnr = None,
    method: Annotated[str, typer.Option("--method", help="name of the method; the link's default when left out")] = "",
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="where to write the received image; of several, a folder")
    ] = None,
    channel_model: ChannelModel = "awgn",
    channel_option: ChannelOptions = None,
    option: MethodOptions = None,
    seed: Annotated[str, typer.Option(help="root seed of the noise, 0..2^63 - 1")] = "0",
    draw: Annotated[int, typer.Option(help="number of the noise draw")] = 0,
    row: Annotated[
        tuple[Path, int] | None,
        typer.Option("--row", help="a sweep's folder and the number of a row of its results.csv: send it once more"),
    ] = None,
    wait_s: WaitSeconds = None,
    as_json: AsJson = False,
    orchestrator: Annotated[
        str | None, typer.Option("--orchestrator", envvar="ORCHESTRATOR_ADDRESS", help="host:port of its API")
    ] = None,
    encoder: EncoderAddress = None,
    channel: ChannelAddress = None,
    decoder: DecoderAddress = None,
) -> None:
    """Send images through the link; print their quality and where the time went."""
    if orchestrator:
        _checked(check_address, "--orchestrator", orchestrator)
    addresses = _addresses(encoder, channel, decoder)
    _checked(arguments.wait_s, wait_s)
    if bool(images) == (row is not None):
        _checked(_refuse, "give images or --row, and not both")
    asked: dict[str, Any] = {
        "method": method,
        "snr_db": _checked(arguments.snr_db, snr_db),
        "told_snr_db": snr_db if told_snr_db is None else told_snr_db,
        "air": _checked(air_of, channel_model, _options(channel_option)),
        "options": _options(option),
        "root_seed": _checked(arguments.seed, seed),
        "draw": draw,
    }
    if method and not orchestrator:
        _checked(check_names, [method], addresses)
    from services.orchestrator.cli import transmit

    jobs, kept = _checked(transmit.jobs_of, images or [], asked, row)
    targets = _checked(transmit.targets_of, jobs, output)
    if orchestrator:
        answers = transmit.send_to(orchestrator, jobs)
    else:
        answers = transmit.send_directly(addresses, jobs, _say, wait_s)
    if not _run(transmit.show(answers, targets, kept, as_json)):
        raise typer.Exit(FAILED)


def _refuse(sentence: str) -> None:
    raise ValueError(sentence)


@app.command()
def bench(
    image: Annotated[Path | None, typer.Argument(help="the image to send; a sample when left out")] = None,
    count: Annotated[int, typer.Option(min=1, max=10_000, help="transmissions of a window")] = 34,
    warm_up: Annotated[int, typer.Option(min=0, max=1000, help="transmissions before the first window")] = 3,
    within_percent: Annotated[
        float, typer.Option("--within-percent", help="how well three windows in a row have to agree, in per cent")
    ] = 10.0,
    max_windows: Annotated[int, typer.Option(min=3, max=100, help="windows after which it ends in any case")] = 10,
    snr_db: Annotated[float, typer.Option("--snr-db", help="channel SNR in dB, -30..60")] = 10.0,
    method: Annotated[str, typer.Option("--method", help="name of the method; the link's default when left out")] = "",
    wait_s: WaitSeconds = None,
    as_json: AsJson = False,
    encoder: EncoderAddress = None,
    channel: ChannelAddress = None,
    decoder: DecoderAddress = None,
) -> None:
    """Send one image again and again until its times are steady; print the latency of every part of the way."""
    addresses = _addresses(encoder, channel, decoder)
    _checked(arguments.wait_s, wait_s)
    _checked(arguments.snr_db, snr_db)
    _checked(arguments.within_percent, within_percent)
    _checked(check_names, [method] if method else [], addresses)
    from jscc.images import read_image
    from services.orchestrator.cli import bench as steady
    from services.orchestrator.cli import transmit
    from services.orchestrator.link.job import Job

    path = image or _sample()
    job = _checked(lambda name: Job(name, method, snr_db, snr_db), transmit.image_id_of(path))
    height_px, width_px, _ = _checked(read_image, path).shape
    plan = steady.BenchPlan(count, warm_up, within_percent, max_windows)
    measured = _run(steady.send_until_steady(addresses, (path, job), plan, _say, wait_s))
    if as_json:
        show_json(steady.document(measured, (height_px, width_px)))
    else:
        show(steady.title(measured, (height_px, width_px)))
        console.print(steady.table(measured))


@app.command()
def load(
    image: Annotated[Path | None, typer.Argument(help="the image to send; a sample when left out")] = None,
    concurrency: Annotated[
        str, typer.Option(help="callers at once that wait for their images, points separated by commas: 1,2,4,8")
    ] = "",
    rate: Annotated[
        str, typer.Option(help="images due a second whether the link keeps up or not, points separated by commas")
    ] = "",
    arrivals: Annotated[str, typer.Option(help="with --rate: poisson or constant")] = "poisson",
    seconds: Annotated[float, typer.Option(help="how long each point lasts")] = 10.0,
    snr_db: Annotated[float, typer.Option("--snr-db", help="channel SNR in dB, -30..60")] = 10.0,
    method: Annotated[str, typer.Option("--method", help="name of the method; the link's default when left out")] = "",
    seed: Annotated[str, typer.Option(help="of arrivals and noise, 0..2^63 - 1")] = "0",
    out: Annotated[Path | None, typer.Option(help="folder for load.csv and the saturation curve")] = None,
    wait_s: WaitSeconds = None,
    as_json: AsJson = False,
    encoder: EncoderAddress = None,
    channel: ChannelAddress = None,
    decoder: DecoderAddress = None,
) -> None:
    """Put the link under load; print throughput, and latency from when an image was due."""
    addresses = _addresses(encoder, channel, decoder)
    _checked(arguments.wait_s, wait_s)
    from services.orchestrator.cli import loading, transmit
    from services.orchestrator.link.job import Job

    root_seed = _checked(arguments.seed, seed)
    callers, rates = (
        _checked(arguments.numbers, name, text) if text else ()
        for name, text in (("concurrency", concurrency), ("rate", rate))
    )
    plan = _checked(loading.LoadPlan, callers, rates, arrivals, seconds, root_seed)
    _checked(arguments.snr_db, snr_db)
    _checked(check_names, [method] if method else [], addresses)
    path = image or _sample()
    job = _checked(lambda name: Job(name, method, snr_db, snr_db, root_seed=root_seed), transmit.image_id_of(path))
    what = _checked(loading.title, job, path, plan)
    points = _run(loading.measure(addresses, (path, job), plan, wait_s))
    if out is not None and points:
        _checked(loading.keep, out, points, what)
    if as_json:
        show_json(loading.document(points, what))
    else:
        show(what)
        console.print(loading.table(points))


@app.command()
def sweep(
    dataset: Annotated[
        str, typer.Option(help="kodak, validation, samples, synthetic, or a folder of images")
    ] = "kodak",
    methods: Annotated[
        str, typer.Option(help="served names separated by commas; all for everything; empty for the default")
    ] = "",
    snr_db: Annotated[str, typer.Option("--snr-db", help="SNRs in dB, separated by commas")] = "-5,0,5,10,15,20",
    told_snr_db: ToldSnr = None,
    told_above_db: Annotated[
        str,
        typer.Option("--told-above-db", help="by how much the SNR that the transmitter is told is too high, or D,E"),
    ] = "0",
    draws: Annotated[int, typer.Option(help="noise draws per image and SNR")] = 1,
    limit: Annotated[int, typer.Option(help="only the first so many images; 0 for all")] = 0,
    out: Annotated[Path, typer.Option(help="folder of the results; the same folder resumes")] = Path("runs/sweep"),
    seed: Annotated[str, typer.Option(help="root seed of the noise, 0..2^63 - 1")] = "0",
    channels: Annotated[
        list[str] | None,
        typer.Option(help="several channels, as awgn,rayleigh:coherence=128,pilots=4; instead of --channel-model"),
    ] = None,
    channel_model: ChannelModel = "awgn",
    channel_option: ChannelOptions = None,
    option: MethodOptions = None,
    studies: Annotated[
        bool | None, typer.Option(help="send the methods' studies of their options too; left out: with all methods")
    ] = None,
    references: Annotated[
        str, typer.Option(help="none, cheap (PSNR alone) or all; left out: all with all methods, else cheap")
    ] = "",
    concurrency: Annotated[int, typer.Option(help="transmissions under way at once")] = 4,
    patience_s: Annotated[float, typer.Option(help="how long a service that goes away is waited for")] = 300.0,
    wait_s: WaitSeconds = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="say what would be sent and what is left of it; start and write nothing")
    ] = False,
    as_json: AsJson = False,
    encoder: EncoderAddress = None,
    channel: ChannelAddress = None,
    decoder: DecoderAddress = None,
) -> None:
    """Sweep images, methods, SNRs and noise draws; resume what is in --out; write the report."""
    from services.orchestrator.sweep.spec import ALL, SweepSpec, known_references

    names = tuple(name.strip() for name in methods.split(",") if name.strip())
    asked = {
        "methods": names,
        "snr_db": _checked(arguments.numbers, "snr_db", snr_db),
        "draws": draws,
        "seed": _checked(arguments.seed, seed),
        "airs": _checked(arguments.airs, channels, channel_model, _options(channel_option)),
        "told_snr_db": told_snr_db,
        "told_above_db": _checked(arguments.numbers, "told_above_db", told_above_db),
        "options": _options(option),
        "studies": names == ALL if studies is None else studies,
        "limit": limit,
        "concurrency": concurrency,
        "patience_s": patience_s,
    }
    spec = _checked(lambda fields: SweepSpec(**fields), asked)
    chosen = _checked(known_references, references or ("all" if names == ALL else "cheap"))
    addresses = _addresses(encoder, channel, decoder)
    _checked(arguments.wait_s, wait_s)
    _checked(check_names, () if names == ALL else names, addresses)
    from jscc.data import open_dataset

    images = _checked(open_dataset, dataset)
    from services.orchestrator.cli import sweeping
    from services.orchestrator.sweep.whole import SweepRun

    run = SweepRun(spec, images, out, shlex.join(["jscc-link", *sys.argv[1:]]), chosen)
    act = sweeping.preview if dry_run else sweeping.sweep
    act(run, addresses, wait_s, as_json)


@app.command()
def report(
    folder: Annotated[Path, typer.Argument(help="folder of a sweep, with results.sqlite")],
    against: Annotated[
        str, typer.Option(help="method or reference that all are compared with; left out: the strongest reference")
    ] = "",
) -> None:
    """Rebuild results.csv, statistics.csv, summary.md and the figures of a sweep from its database."""
    from services.orchestrator.report.write import write_report

    console.print(_checked(write_report, folder, against), markup=False, highlight=False, soft_wrap=True)


def main() -> None:
    """Run the command line; SIGTERM ends a command as Ctrl-C does."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.exit(main_of(app))


def _addresses(encoder: str | None, channel: str | None, decoder: str | None) -> Addresses | None:
    return _checked(given_addresses, encoder, channel, decoder)


def _sample() -> Path:
    from jscc.data import open_dataset

    return open_dataset("samples").images[0].path


def _options(texts: list[str] | None) -> dict[str, Any]:
    return dict(_checked(text_option, text) for text in texts or [])


if __name__ == "__main__":
    main()
