"""Edges of the trainer's command line: what goes wrong is one line, with 2 for bad input and 1 for a failure."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from factories import REPOSITORY
from PIL import Image

from trainer import __main__ as command_line
from trainer import run_folder

RECIPE = """
[method]
name = "deepjscc"
[method.config]
stage_channels = [4, 6, 8, 8]
latent_channels = 8
[data]
folders = ["{folder}"]
crop_px = 32
batch_size = 4
validation_every = 4
validation_photos = 1
validation_crop_px = 32
initialise_photos = 0
[run]
precision = "float32"
memory_format = "channels_last"
fused = true
device = "cpu"
log_steps = 1
checkpoint_minutes = 1e6
validate_minutes = 1e6
tensorboard = false
"""
LIMITED = """
import resource, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # so that writing beyond the limit fails, as on a full disk
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]),) * 2)
from trainer.__main__ import main
sys.exit(main(sys.argv[2:]))
"""

Refused = Callable[..., str]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("JSCC_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    draw = np.random.default_rng(0)
    for number in range(5):
        Image.fromarray(draw.integers(0, 256, (40, 48, 3), dtype=np.uint8)).save(folder / f"{number}.png")
    return folder


@pytest.fixture
def recipe_file(tmp_path: Path, photos: Path) -> Path:
    path = tmp_path / "tiny.toml"
    path.write_text(RECIPE.format(folder=photos))
    return path


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str]) -> Refused:
    """Run a command that must end with a status and one line; return the line."""

    def run(*words: object, status: int = 2) -> str:
        capsys.readouterr()
        try:
            found: Any = command_line.main([str(word) for word in words])
        except SystemExit as ended:
            found = ended.code
        said = capsys.readouterr().err
        assert found == status, said
        assert said.count("\n") == 1, said
        assert said.startswith("error: ")
        return said

    return run


def train(recipe_file: Path, steps: int, folder: Path, *more: str) -> list[str]:
    return ["train", str(recipe_file), "--steps", str(steps), "--out", str(folder), *more]


def begin(*words: str, code: str = "", **variables: str) -> "subprocess.Popen[str]":
    command = [sys.executable, *(("-c", code) if code else ("-m", "trainer")), *words]
    environment = os.environ | {"OMP_NUM_THREADS": "1"} | variables
    return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)


def finish(process: "subprocess.Popen[str]") -> tuple[int, str]:
    said = process.communicate()[1]
    assert "Traceback" not in said
    return process.returncode, said


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

    def test_export(self, refused: Refused, tmp_path: Path, recipe_file: Path) -> None:
        assert "no such run folder or recipe" in refused("export", tmp_path / "nowhere")
        assert "is it a run folder?" in refused("export", tmp_path)
        assert "'deepjscc' has parameters" in refused("export", recipe_file)
        assert "--name: must be a plain name" in refused("export", recipe_file, "--name", "../x")
        softcast = REPOSITORY / "configs" / "softcast.toml"
        assert f"error: {recipe_file}: " in refused("export", softcast, "--checkpoints", recipe_file, status=1)

    def test_help_and_bad_words_do_not_wait_for_torch(self) -> None:
        code = "import sys\nsys.modules['torch'] = None\nfrom trainer.__main__ import main\nmain(sys.argv[1:])"
        assert finish(begin("train", "--help", code=code))[0] == 0
        assert finish(begin("train", "x", "--steps", "-1", code=code))[0] == 2


class TestRecipes:
    @pytest.mark.parametrize(
        "change",
        [
            ("crop_px = 32", "crop_px = 7", "data: crop_px: must be from 16 to 4096, got 7"),
            ('name = "deepjscc"', 'name = "deepjsc"', "unknown method 'deepjsc' (known: deepjscc,"),
            ("batch_size", "batchsize", "data: unknown key 'batchsize'"),
            ("[method]", "[method", "Expected ']'"),
            ('"cpu"', '"tpu"', "run: device: must be auto, cpu, cuda"),
            ("[run]", '[optimiser]\nmuon = ["nix"]\n[run]', "optimiser: muon: 'nix' is no part"),
            ("latent_channels = 8", "latent_channels = -1", "method: config: latent_channels"),
            ("fused = true", 'fused = "yes"', "run: fused: expected true or false, got 'yes'"),
        ],
    )
    def test_they_are_refused_before_anything_is_written(
        self, tmp_path: Path, recipe_file: Path, refused: Refused, cache: Path, change: tuple[str, str, str]
    ) -> None:
        former, text, named = change
        changed = recipe_file.read_text().replace(former, text)
        assert changed != recipe_file.read_text()
        recipe_file.write_text(changed)
        assert named in refused(*train(recipe_file, 1, tmp_path / "run"))
        assert not (tmp_path / "run").exists()
        assert not cache.exists()

    def test_files_that_are_no_recipe(self, tmp_path: Path, refused: Refused) -> None:
        (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe")
        assert "bytes.toml: is no TOML" in refused("train", tmp_path / "bytes.toml", "--steps", 1)
        assert f"{tmp_path}: cannot be read (Is a directory)" in refused("train", tmp_path, "--steps", 1)
        assert "nowhere.toml: no such file" in refused("bench", tmp_path / "nowhere.toml")

    @pytest.mark.parametrize("method", ["softcast", "digital"])
    def test_nothing_to_train(self, tmp_path: Path, refused: Refused, method: str) -> None:
        recipe = REPOSITORY / "configs" / f"{method}.toml"
        said = refused("train", recipe, "--steps", 3, "--out", tmp_path / "run")
        assert f"'{method}' has nothing to train; `python -m trainer export {recipe}` ships it" in said
        assert not (tmp_path / "run").exists()


class TestFolders:
    def test_out_is_a_file(self, recipe_file: Path, refused: Refused) -> None:
        assert "is no folder; give another --out" in refused(*train(recipe_file, 1, recipe_file))
        assert "is no folder; give another --out" in refused(*train(recipe_file, 1, recipe_file / "run"))

    def test_start_is_missing(self, tmp_path: Path, recipe_file: Path, refused: Refused, cache: Path) -> None:
        said = refused(*train(recipe_file, 1, tmp_path / "run", "--start", "nowhere/x"))
        assert "nowhere/x.json" in said
        assert not (tmp_path / "run").exists()
        assert not cache.exists()

    @pytest.mark.slow
    def test_out_cannot_be_written(self, recipe_file: Path) -> None:
        status, said = finish(begin(*train(recipe_file, 1, Path("/proc/run"))))
        assert status == 1
        assert said.splitlines()[-1].startswith("error: /proc/run/config.toml: cannot be written")

    def test_records_that_are_damaged_are_named(self, tmp_path: Path, recipe_file: Path, refused: Refused) -> None:
        assert command_line.main(train(recipe_file, 1, tmp_path / "run")) == 0
        (tmp_path / "run" / "environment.json").write_text("[{")
        assert "environment.json: is damaged" in refused(*train(recipe_file, 2, tmp_path / "run", "--resume"))


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:100])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def noise(path: Path) -> None:
    path.write_bytes(bytes(range(256)) * 80)


def flipped(path: Path) -> None:
    content = bytearray(path.read_bytes())
    place = content.index(b"transmitter")  # inside, which the archive's own marks do not show
    content[place] ^= 255
    path.write_bytes(content)


def something_else(path: Path) -> None:
    torch.save(torch.ones(3), path)


def gone(path: Path) -> None:
    path.unlink()


class TestDamagedCheckpoint:
    @pytest.fixture
    def folder(self, tmp_path: Path, recipe_file: Path) -> Path:
        recipe_file.write_text(recipe_file.read_text().replace("checkpoint_minutes = 1e6", "checkpoint_minutes = 0.0"))
        folder = tmp_path / "run"
        assert command_line.main(train(recipe_file, 3, folder)) == 0
        return folder

    @pytest.mark.slow
    @pytest.mark.parametrize("damage", [truncated, empty, noise, flipped, something_else, gone])
    def test_the_one_before_takes_its_place(
        self, folder: Path, recipe_file: Path, damage: Callable[[Path], None], capsys: pytest.CaptureFixture[str]
    ) -> None:
        damage(folder / "last.pt")
        before = run_folder.load_state(folder)["progress"]["step"]
        said = capsys.readouterr().err
        assert f"{folder / 'last.pt'} is " in said
        assert f"taking previous.pt, which is of step {before}" in said
        assert command_line.main(train(recipe_file, 5, folder, "--resume")) == 0
        capsys.readouterr()
        assert run_folder.load_state(folder)["progress"]["step"] == 5
        assert capsys.readouterr().err == ""

    def test_both(self, folder: Path, recipe_file: Path, refused: Refused, tmp_path: Path) -> None:
        truncated(folder / "last.pt")
        empty(folder / "previous.pt")
        for words in (
            train(recipe_file, 5, folder, "--resume"),
            ["export", folder, "--checkpoints", tmp_path],
            ["evaluate", "--checkpoint", folder, "--dataset", tmp_path / "photos"],
        ):
            said = refused(*words)
            assert "last.pt is damaged" in said
            assert "previous.pt is damaged" in said


class TestFullDisk:
    @pytest.mark.slow
    def test_a_checkpoint_that_does_not_fit_leaves_the_last_one(self, tmp_path: Path, recipe_file: Path) -> None:
        folder = tmp_path / "run"
        assert command_line.main(train(recipe_file, 2, folder)) == 0
        before = (folder / "last.pt").read_bytes()
        words = train(recipe_file, 4, folder, "--resume")
        status, said = finish(begin(str(len(before) // 2), *words, code=LIMITED))
        assert status == 1
        wanted = f"error: {folder / 'last.pt'}: cannot be written (File too large); {folder} keeps its last checkpoint"
        assert said.splitlines()[-1].startswith(wanted)
        assert (folder / "last.pt").read_bytes() == before
        assert not list(folder.glob("*.tmp"))

    @pytest.mark.slow
    def test_event_files_are_done_without(self, tmp_path: Path, recipe_file: Path) -> None:
        recipe_file.write_text(recipe_file.read_text().replace("tensorboard = false", "tensorboard = true"))
        folder = tmp_path / "run"
        assert command_line.main(train(recipe_file, 1, folder)) == 0
        limit_bytes = next((folder / "tensorboard").iterdir()).stat().st_size
        shutil.rmtree(folder)
        status, said = finish(begin(str(limit_bytes), *train(recipe_file, 3, folder), code=LIMITED))
        assert f"{folder / 'tensorboard'}: no more event files (File too large)" in said
        assert status == 1  # the checkpoint does not fit either
        assert "last.pt: cannot be written" in said.splitlines()[-1]

    @pytest.mark.slow
    def test_the_cache_of_photos(self, tmp_path: Path, recipe_file: Path, cache: Path) -> None:
        status, said = finish(begin("20000", *train(recipe_file, 1, tmp_path / "run"), code=LIMITED))
        assert status == 1
        assert said.splitlines()[-1].startswith(f"error: {cache}/")
        assert not list(cache.iterdir())
        assert not (tmp_path / "run").exists()


class TestPhotos:
    def test_all_bad_files_are_listed_before_anything_starts(
        self, tmp_path: Path, recipe_file: Path, photos: Path, cache: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (photos / "1.png").write_bytes((photos / "1.png").read_bytes()[:300])
        (photos / "note.jpg").write_text("no image")
        (photos / "link.png").symlink_to(tmp_path / "gone.png")
        os.mkfifo(photos / "pipe.png")  # whoever opens it waits without end
        (photos / "folder.png").mkdir()
        assert command_line.main(train(recipe_file, 1, tmp_path / "run")) == 2
        first, *listed = capsys.readouterr().err.splitlines()
        assert first == "error: data: 2 of 6 photos cannot be read; mend or remove them:"
        names = {Path(line.split(": ")[0].strip()).name for line in listed}
        assert names == {"1.png", "note.jpg"}  # what is no file is no photo
        assert not list(cache.iterdir())
        assert not (tmp_path / "run").exists()

    def test_a_damaged_cache_is_made_anew(self, tmp_path: Path, recipe_file: Path, cache: Path) -> None:
        assert command_line.main(train(recipe_file, 1, tmp_path / "first")) == 0
        for file in cache.iterdir():
            truncated(file)
        assert command_line.main(train(recipe_file, 1, tmp_path / "second")) == 0
        first, second = (run_folder.load_state(tmp_path / name)["link"] for name in ("first", "second"))
        assert all(torch.equal(tensor, second[name]) for name, tensor in first.items())


@pytest.mark.slow
def test_ctrl_c_before_the_training_is_one_word(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "recipe.toml")
    process = begin("train", str(tmp_path / "recipe.toml"), "--steps", "1")
    with (tmp_path / "recipe.toml").open("w"):  # open once the command reads
        process.send_signal(signal.SIGINT)
        assert finish(process) == (130, "interrupted\n")
