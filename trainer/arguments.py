"""The words of the command line; bad ones end the process in one line, before torch is imported."""

import argparse
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from jscc.limits import MAX_SNR_DB, MIN_SNR_DB
from jscc.machine import DEVICE_PATTERN, PRECISIONS
from trainer.ranges import Range

_MINUTES = Range(0, 10**7, above=True)
_STEPS = Range(1, 10**9)
_SECONDS = Range(0, 10**5, above=True)
_SNR_DB = Range(MIN_SNR_DB, MAX_SNR_DB)
_TOLD_ABOVE_DB = Range(MIN_SNR_DB - MAX_SNR_DB, MAX_SNR_DB - MIN_SNR_DB)


class _Parser(argparse.ArgumentParser):
    """Refuses in one line, without the usage."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"error: {message} ({self.prog} --help tells more)\n")


def parse(words: Sequence[str]) -> argparse.Namespace:
    """Return what is asked for; `command` is its name.

    Raises:
        SystemExit: bad words, with status 2 and a line on standard error, or a question for help.
    """
    parser = _Parser(prog="python -m trainer", description="Train, measure and ship transmission methods.")
    commands = parser.add_subparsers(required=True, metavar="command", dest="command")
    for add in (_add_train, _add_bench, _add_evaluate, _add_export):
        add(commands)
    return parser.parse_args(_joined(words))


def _joined(words: Sequence[str]) -> list[str]:
    """Join an option and a value that begins like an option, such as `--snr-db -5,0`."""
    joined: list[str] = []
    for word in words:
        is_value = re.match(r"-[\d.]", word) and joined and re.fullmatch(r"--[a-z-]+", joined[-1])
        if is_value:
            joined[-1] += f"={word}"
        else:
            joined.append(word)
    return joined


def _add_train(commands: Any) -> None:
    command = commands.add_parser("train", help="train a method")
    command.add_argument("config", type=Path, help="recipe, such as configs/deepjscc.toml")
    command.add_argument("--minutes", type=_within(float, _MINUTES), help="budget of training time")
    command.add_argument("--steps", type=_within(int, _STEPS), help="budget of steps")
    command.add_argument("--resume", action="store_true", help="go on from the folder's checkpoint, if there is one")
    command.add_argument("--start", type=Path, help="first weights: checkpoint such as checkpoints/deepjscc")
    command.add_argument("--out", type=Path, help="run folder (default: runs/<name of the recipe>)")
    command.add_argument("--data", action="append", default=[], help="folder of photos; may be given more than once")


def _add_bench(commands: Any) -> None:
    command = commands.add_parser("bench", help="measure crops per second beside a plain loop, and what brings them")
    command.add_argument("configs", type=Path, nargs="*", help="recipes (default: configs/deepjscc.toml)")
    command.add_argument("--seconds", type=_within(float, _SECONDS), default=15.0, help="time for each variant (15)")
    command.add_argument("--compile", action="store_true", help="measure torch.compile too; compiling takes minutes")


def _add_evaluate(commands: Any) -> None:
    command = commands.add_parser("evaluate", help="score a checkpoint on whole images")
    command.add_argument("--checkpoint", type=Path, required=True, help="checkpoints/<name> or a run folder")
    command.add_argument("--dataset", default="kodak", help="kodak or a folder of images")
    command.add_argument("--snr-db", type=_snrs_db, help="such as -5,0,5")
    command.add_argument("--precision", choices=PRECISIONS, default="float32")
    command.add_argument("--device", type=_device, default="auto", help="auto, cpu, cuda or such as cuda:1")
    command.add_argument(
        "--told-above-db",
        type=_within(float, _TOLD_ABOVE_DB),
        default=0.0,
        help="error of the SNR that the transmitter is told",
    )
    command.add_argument("--option", action="append", default=[], help="of the method, name=value as in TOML")
    command.add_argument("--write-card", action="store_true", help="put the rows into the model card")


def _add_export(commands: Any) -> None:
    command = commands.add_parser("export", help="write a run's averaged weights as a checkpoint")
    command.add_argument("run", type=Path, help="run folder, or the recipe of a method that has nothing to train")
    command.add_argument("--checkpoints", type=Path, default=Path("checkpoints"))
    command.add_argument("--name", type=_plain_name, help="name of the checkpoint (default: of the method)")


def _within(kind: type[int] | type[float], limits: Range) -> Callable[[str], float]:
    def read(text: str) -> float:
        try:
            value = kind(text)
        except ValueError:
            name = "whole number" if kind is int else "number"
            raise argparse.ArgumentTypeError(f"must be a {name} {limits}, got '{text}'") from None
        if value not in limits:
            raise argparse.ArgumentTypeError(f"must be {limits}, got {text}")
        return value

    return read


def _snrs_db(text: str) -> tuple[float, ...]:
    return tuple(_within(float, _SNR_DB)(part) for part in text.split(","))


def _device(text: str) -> str:
    if not re.fullmatch(DEVICE_PATTERN, text):
        raise argparse.ArgumentTypeError(f"must be auto, cpu, cuda or such as cuda:1, got '{text}'")
    return text


def _plain_name(text: str) -> str:
    if not re.fullmatch(r"\w[\w.-]*", text):
        raise argparse.ArgumentTypeError(f"must be a plain name of letters, digits, '_', '-' and '.', got '{text}'")
    return text
