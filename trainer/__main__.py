"""Command line: python -m trainer train | bench | evaluate | export."""

import argparse
import dataclasses
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jscc import checkpoints
from jscc.data import open_dataset
from jscc.models import UnknownMethodError
from trainer import bench, build, evaluate, export, parallel, run_folder, settings, train
from trainer.optimisation import Budget
from trainer.settings import Recipe


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return the exit status."""
    choice = _parser().parse_args(arguments)
    try:
        choice.command(choice)
    except (ValueError, UnknownMethodError, FloatingPointError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m trainer", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="command")
    command = commands.add_parser("train", help="train a method")
    command.set_defaults(command=_train)
    command.add_argument("config", type=Path, help="recipe, such as configs/deepjscc.toml")
    command.add_argument("--minutes", type=float, default=0.0, help="budget of training time")
    command.add_argument("--steps", type=int, default=0, help="budget of steps")
    command.add_argument("--resume", action="store_true", help="go on from the folder's checkpoint, if there is one")
    command.add_argument("--start", type=Path, help="first weights: checkpoint such as checkpoints/deepjscc")
    command.add_argument("--out", type=Path, help="run folder (default: runs/<name of the recipe>)")
    command.add_argument("--data", action="append", default=[], help="folder of photos; may be given more than once")
    command = commands.add_parser("bench", help="measure crops per second beside a plain loop, and what brings them")
    command.set_defaults(command=_bench)
    command.add_argument("configs", type=Path, nargs="*", help="recipes (default: configs/deepjscc.toml)")
    command.add_argument("--seconds", type=float, default=100.0, help="time for the measurement of each recipe")
    command.add_argument("--compile", action="store_true", help="measure torch.compile too; compiling takes minutes")
    _add_evaluate(commands)
    command = commands.add_parser("export", help="write a run's averaged weights as a checkpoint")
    command.set_defaults(command=_export)
    command.add_argument("run", type=Path, help="run folder, or the recipe of a method that has nothing to train")
    command.add_argument("--checkpoints", type=Path, default=Path("checkpoints"))
    command.add_argument("--name", help="name of the checkpoint (default: of the method)")
    return parser


def _add_evaluate(commands: Any) -> None:
    command = commands.add_parser("evaluate", help="score a checkpoint on whole images")
    command.set_defaults(command=_evaluate)
    command.add_argument("--checkpoint", type=Path, required=True, help="checkpoints/<name> or a run folder")
    command.add_argument("--dataset", default="kodak", help="kodak or a folder of images")
    command.add_argument("--snr-db", type=_numbers, default=evaluate.SNRS_DB, help="such as --snr-db=-5,0,5")
    command.add_argument("--precision", choices=settings.PRECISIONS, default="float32")
    command.add_argument("--device", default="auto")
    command.add_argument(
        "--told-above-db", type=float, default=0.0, help="error of the SNR that the transmitter is told"
    )
    command.add_argument("--option", action="append", default=[], help="of the method, name=value as in TOML")
    command.add_argument("--write-card", action="store_true", help="put the rows into the model card")


def _numbers(text: str) -> tuple[float, ...]:
    return tuple(float(part) for part in text.split(","))


def _train(choice: argparse.Namespace) -> None:
    recipe = _with_folders(settings.load(choice.config), choice.data)
    limits = (
        (choice.minutes, choice.steps) if choice.minutes or choice.steps else (recipe.run.minutes, recipe.run.steps)
    )
    budget = Budget(*limits)
    folder = choice.out or Path("runs") / choice.config.stem
    with parallel.team(recipe.run.device) as team:
        resume = choice.resume or team.largest([parallel.restarts()])[0] > 0
        with team.first():
            has_state = run_folder.open_folder(folder, choice.config, resume)
        train.start(recipe, folder, budget, has_state, team, choice.start).go()


def _with_folders(recipe: Recipe, folders: list[str]) -> Recipe:
    if not folders:
        return recipe
    return dataclasses.replace(recipe, data=dataclasses.replace(recipe.data, folders=tuple(folders), weights=()))


def _bench(choice: argparse.Namespace) -> None:
    for path in choice.configs or [Path("configs/deepjscc.toml")]:
        bench.run(path, choice.seconds, choice.compile)


def _evaluate(choice: argparse.Namespace) -> None:
    path: Path = choice.checkpoint
    if choice.write_card and path.is_dir():
        raise ValueError(f"--write-card: {path} is a run folder and has no card; export it first")
    dataset = open_dataset(choice.dataset)
    if choice.write_card and dataset.name != "kodak":
        raise ValueError(f"--write-card: the card has only room for Kodak, not for '{dataset.name}'")
    if choice.write_card and (choice.told_above_db or choice.option):
        raise ValueError("--write-card: the card has only room for what a method does by default")
    loaded = evaluate.load_link(path, run_folder.choose_device(choice.device))
    loaded.send_options, loaded.receive_options = loaded.method.options(_values(choice.option), "--option")
    print(dataset.note or f"{path}: {len(dataset.images)} images of {dataset.name}", flush=True)
    rows = evaluate.evaluate(loaded, dataset, choice.snr_db, choice.precision, choice.told_above_db)
    if choice.write_card:
        card = checkpoints.read_card(build.card_path(path))
        measured = tuple(dataclasses.asdict(row) for row in rows)
        checkpoints.write_card(path.parent, dataclasses.replace(card, kodak=measured))


def _values(texts: list[str]) -> dict[str, Any]:
    try:
        return tomllib.loads("\n".join(texts))
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"--option: {error}") from error


def _export(choice: argparse.Namespace) -> None:
    write = export.export_closed_form if choice.run.suffix == ".toml" else export.export
    card = write(choice.run, choice.checkpoints, choice.name)
    print(f"{choice.checkpoints / card.name}: {card.method}, digest {card.digest}")


if __name__ == "__main__":
    sys.exit(main())
