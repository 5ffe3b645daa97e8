"""Words of the command line: what is wrong with them is one line."""

from pathlib import Path

import pytest
import torch
from factories import REPOSITORY
from trainer_runs import Refused, begin, finish

from trainer import __main__ as command_line

pytestmark = pytest.mark.usefixtures("cache")


class TestWords:
    @pytest.mark.parametrize(
        ("words", "named"),
        [
            (["--steps", "-3"], "--steps: must be from 1 to 1000000000, got -3"),
            (["--steps", "0"], "--steps: must be from 1"),
            (["--steps", "1e3"], "--steps: must be a whole number"),
            (["--minutes", "nan"], "--minutes: must be above 0"),
            (["--minutes", "-1"], "--minutes: must be above 0"),
            (["--minutes", "inf"], "--minutes: must be above 0"),
            ([], "give --minutes or --steps"),
            (["--steps"], "--steps: expected one argument"),
            (["--stepps", "3"], "--stepps"),
        ],
    )
    def test_train(self, recipe_file: Path, refused: Refused, words: list[str], named: str) -> None:
        assert named in refused("train", recipe_file, *words)

    @pytest.mark.parametrize(
        ("words", "named"),
        [
            (["--snr-db", "5,,1"], "--snr-db: must be a number"),
            (["--snr-db", "1e309"], "--snr-db: must be from -30 to 60"),
            (["--snr-db", "-31,0"], "--snr-db: must be from -30 to 60, got -31"),
            (["--told-above-db", "nan"], "--told-above-db: must be from -90 to 90"),
            (["--device", "tpu"], "--device: must be auto, cpu, cuda"),
            (["--device", "cuda:99"], "device cuda:99: torch finds"),
            (["--precision", "float16"], "--precision: invalid choice"),
            (["--dataset", "nowhere"], "'nowhere'"),
            (["--option", "nix=1"], "--option: unknown key 'nix'"),
            (["--option", "nix"], "--option: "),
        ],
    )
    def test_evaluate(self, refused: Refused, words: list[str], named: str, tmp_path: Path, photos: Path) -> None:
        shipped = self.ship(tmp_path)
        assert named in refused("evaluate", "--checkpoint", shipped, "--dataset", photos, *words)

    @pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
    def test_evaluate_without_cuda(self, refused: Refused) -> None:
        assert "device cuda: torch finds no GPU" in refused("evaluate", "--checkpoint", "x", "--device", "cuda")

    @pytest.mark.parametrize("words", [["--snr-db", "-5,0"], ["--snr-db=-5,0"]])
    def test_a_negative_snr_is_no_option(
        self, words: list[str], tmp_path: Path, photos: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        shipped = self.ship(tmp_path)
        arguments = ["evaluate", "--checkpoint", str(shipped), "--dataset", str(photos), "--precision", "auto", *words]
        assert command_line.main(arguments) == 0
        rows = [line.split()[0] for line in capsys.readouterr().out.splitlines() if "PSNR" in line]
        assert rows == ["-5.0", "0.0"]

    def ship(self, folder: Path) -> Path:
        assert (
            command_line.main(["export", str(REPOSITORY / "configs/softcast.toml"), "--checkpoints", str(folder)]) == 0
        )
        return folder / "softcast"

    def test_help_and_bad_words_do_not_wait_for_torch(self) -> None:
        code = "import sys\nsys.modules['torch'] = None\nfrom trainer.__main__ import main\nmain(sys.argv[1:])"
        assert finish(begin("train", "--help", code=code))[0] == 0
        assert finish(begin("train", "x", "--steps", "-1", code=code))[0] == 2
