import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import factories
import numpy as np
import pytest
import torch
import trainer_runs
from PIL import Image

from jscc import checkpoints
from jscc.framing import frame
from jscc.images import read_image
from jscc.link import Link
from jscc.models._contract import SendOptions
from jscc.seeds import derive_seed
from jscc.signals import ChannelState, Side, noise_generator
from trainer import __main__ as command_line
from trainer import evaluate, prepare, settings
from trainer import run_folder as runs
from trainer.build import build, config_mapping, take_over
from trainer.journal import read_rows
from trainer.learner import Learner
from trainer.optimisation import Budget


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    draw = np.random.default_rng(0)
    for number in range(6):
        small = draw.integers(0, 256, (6, 7, 3), dtype=np.uint8)
        Image.fromarray(small).resize((56, 48), Image.Resampling.BICUBIC).save(folder / f"{number}.png")
    return folder


@pytest.fixture
def recipe_file(tmp_path: Path, photos: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("JSCC_CACHE", str(tmp_path / "cache"))
    return write_recipe(tmp_path / "tiny.toml", photos)


def write_recipe(path: Path, photos: Path, initialise_photos: str = "0", **run: str) -> Path:
    return trainer_runs.write_recipe(
        path,
        [photos],
        data={"initialise_photos": initialise_photos},
        optimiser={"learning_rate": "1e-2", "muon": '["blocks"]'},
        run={"log_steps": "2", "checkpoint_minutes": "1e6", **run},
    )


def run(*arguments: str | Path) -> None:
    assert command_line.main([str(argument) for argument in arguments]) == 0


def learner_of(recipe_file: Path) -> Learner:
    recipe = settings.load(recipe_file)
    return Learner(recipe, build(recipe.method, 0), prepare.load_photos(recipe.data)[0], torch.device("cpu"))


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_resumed_run_equals_an_undisturbed_one(
    tmp_path: Path, photos: Path, precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JSCC_CACHE", str(tmp_path / "cache"))
    recipe_file = write_recipe(tmp_path / "tiny.toml", photos, precision=f'"{precision}"')
    run("train", recipe_file, "--steps", "7", "--out", tmp_path / "whole")

    done = Learner.step

    def interrupted(learner: Learner, *arguments: Any) -> None:
        done(learner, *arguments)
        if learner.progress.step == 3:  # in the middle of a log interval
            signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(Learner, "step", interrupted)
    run("train", recipe_file, "--steps", "7", "--out", tmp_path / "parts")
    assert runs.load_state(tmp_path / "parts")["progress"]["step"] == 3
    monkeypatch.undo()
    monkeypatch.setenv("JSCC_CACHE", str(tmp_path / "cache"))
    run("train", recipe_file, "--steps", "7", "--out", tmp_path / "parts", "--resume")

    whole, parts = runs.load_state(tmp_path / "whole"), runs.load_state(tmp_path / "parts")
    for part in ("link", "average"):
        for name, tensor in whole[part].items():
            assert torch.equal(tensor, parts[part][name]), name
    logs = [read_rows(tmp_path / name / "log.csv") for name in ("whole", "parts")]
    columns = ("step", "crops", "learning_rate", "loss", "psnr_db", "gradient_norm")
    curves = [[[row[column] for column in columns] for row in rows] for rows in logs]
    assert curves[0] == curves[1]
    assert [row["step"] for row in logs[0]] == [2, 4, 6]
    # The weights moved, so that equality says something.
    assert not torch.equal(whole["link"]["receiver.output.bias"], build_bias(recipe_file))


def build_bias(recipe_file: Path) -> torch.Tensor:
    return build(settings.load(recipe_file).method, 0).state_dict()["receiver.output.bias"]


@pytest.mark.slow
def test_training_beats_the_start(recipe_file: Path, tmp_path: Path) -> None:
    run("train", recipe_file, "--steps", "60", "--out", tmp_path / "run")
    rows = read_rows(tmp_path / "run" / "validation.csv")
    assert [row["step"] for row in rows] == [0, 60]
    assert rows[1]["mean_psnr_db"] > rows[0]["mean_psnr_db"] + 0.1
    progress = runs.load_state(tmp_path / "run")["progress"]
    assert (progress["best_step"], progress["best_psnr_db"]) == (60, rows[1]["mean_psnr_db"])
    log = read_rows(tmp_path / "run" / "log.csv")
    assert log[-1]["learning_rate"] < 1e-4 < max(row["learning_rate"] for row in log)
    (machine,) = json.loads((tmp_path / "run" / "environment.json").read_text())
    assert machine["torch"] == torch.__version__
    assert (tmp_path / "run" / "config.toml").read_bytes() == recipe_file.read_bytes()


def test_sigterm_saves_and_ends_with_0(recipe_file: Path, tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGTERM)
    folder = tmp_path / "run"

    def kill_when_training() -> None:
        waiting = threading.Event()
        while not (folder / "log.csv").is_file() or len(read_rows(folder / "log.csv")) < 2:
            waiting.wait(0.02)
        os.kill(os.getpid(), signal.SIGTERM)

    killer = threading.Thread(target=kill_when_training, daemon=True)
    killer.start()
    run("train", recipe_file, "--minutes", "5", "--out", folder)
    killer.join()
    progress = runs.load_state(folder)["progress"]
    assert progress["step"] >= 4
    assert 0 < progress["elapsed_s"] < 300
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.slow
def test_minutes_budget_goes_on_where_it_was(recipe_file: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    run("train", recipe_file, "--steps", "2", "--out", folder)
    state = runs.load_state(folder)
    state["progress"]["elapsed_s"] = 59.0
    runs.save_state(folder, state)
    run("train", recipe_file, "--minutes", "1", "--out", folder, "--resume")
    progress = runs.load_state(folder)["progress"]
    assert progress["step"] > 2
    assert progress["elapsed_s"] >= 60
    log = read_rows(folder / "log.csv")
    assert log[-1]["elapsed_s"] >= 59.0
    assert log[-1]["learning_rate"] < 1e-2 * 1e-3  # the cosine at 59 of 60 seconds


def test_checkpoint_during_a_run(tmp_path: Path, photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JSCC_CACHE", str(tmp_path / "cache"))
    recipe_file = write_recipe(tmp_path / "tiny.toml", photos, checkpoint_minutes="0.0")
    saved: list[int] = []
    save_state = runs.save_state
    monkeypatch.setattr(runs, "save_state", lambda *it: (saved.append(it[1]["progress"]["step"]), save_state(*it)))
    run("train", recipe_file, "--steps", "3", "--out", tmp_path / "run")
    assert saved == [1, 2, 3, 3]
    assert [path.name for path in (tmp_path / "run").glob("*.tmp")] == []


def test_diverged_run_keeps_the_last_checkpoint(
    recipe_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "run"
    run("train", recipe_file, "--steps", "2", "--out", folder)
    before = (folder / "last.pt").read_bytes()

    done = Learner.step

    def poisoned(learner: Learner, *arguments: Any) -> None:
        with torch.no_grad():
            next(learner.link.parameters()).fill_(float("nan"))
        done(learner, *arguments)

    monkeypatch.setattr(Learner, "step", poisoned)
    arguments = ["train", str(recipe_file), "--steps", "3", "--out", str(folder), "--resume"]
    assert command_line.main(arguments) == 1
    assert "diverged" in capsys.readouterr().err
    assert (folder / "last.pt").read_bytes() == before


def test_run_folder_is_not_overwritten(
    recipe_file: Path, tmp_path: Path, photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "run"
    run("train", recipe_file, "--steps", "1", "--out", folder)
    assert command_line.main(["train", str(recipe_file), "--steps", "1", "--out", str(folder)]) == 2
    assert "--resume" in capsys.readouterr().err
    other = write_recipe(tmp_path / "other.toml", photos, initialise_photos="1")
    assert command_line.main(["train", str(other), "--steps", "1", "--out", str(folder), "--resume"]) == 2
    assert "other.toml" in capsys.readouterr().err


def test_resume_refuses_other_photos(
    recipe_file: Path, tmp_path: Path, photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run("train", recipe_file, "--steps", "1", "--out", tmp_path / "run")
    fewer = shutil.copytree(photos, tmp_path / "fewer", ignore=shutil.ignore_patterns("0.png"))
    arguments = ["train", recipe_file, "--steps", "2", "--out", tmp_path / "run", "--resume", "--data", fewer]
    assert command_line.main([str(argument) for argument in arguments]) == 2
    assert "was trained on 4 photos" in capsys.readouterr().err


def test_snr_differs_within_a_batch(recipe_file: Path) -> None:
    learner = learner_of(recipe_file)
    assert len(learner.draw_snrs_db(-6.0, 21.0).unique()) == 4
    many = torch.cat([learner.draw_snrs_db(-6.0, 21.0) for _ in range(500)])
    assert (many.min() >= -6, many.max() <= 21) == (True, True)
    # Uniform on 27 dB: the mean of 2000 draws has a standard deviation of 0.174 dB; 5 of them.
    assert abs(many.mean().item() - 7.5) < 0.87
    assert many.std().item() == pytest.approx(27 / 12**0.5, rel=0.05)


def test_link_adds_each_sample_its_own_noise() -> None:
    link = build(settings.MethodSettings("deepjscc", {"stage_channels": [4, 4, 4, 4], "latent_channels": 8}), 0)
    received: list[torch.Tensor] = []
    link.receiver.register_forward_pre_hook(lambda module, inputs: received.append(inputs[0]))
    x = torch.rand(1, 3, 512, 512, generator=torch.Generator().manual_seed(1)).expand(2, -1, -1, -1)
    snr_db = torch.tensor([-5.0, 20.0])
    with torch.no_grad():
        s, side = link.transmitter(x, snr_db, link.send_options)
        link.decode(link.transmit(link.encode(x, snr_db), "awgn", snr_db))
    gain = header_leaves(link, side)
    power = (torch.cat(received) - s).square().mean(dim=1) * gain.square()
    # 8192 symbols: the relative standard deviation of the measured power is sqrt(2 / 8192) = 1.6 %; 5 of them.
    torch.testing.assert_close(power, torch.tensor([10**0.5, 0.01]), rtol=0.08, atol=0)


def test_the_transmitter_can_be_told_a_better_snr() -> None:
    link = build(settings.MethodSettings("deepjscc", {"stage_channels": [4, 4, 4, 4], "latent_channels": 8}), 0)
    told: list[torch.Tensor] = []
    states: list[torch.Tensor] = []
    link.transmitter.register_forward_pre_hook(lambda module, inputs: told.append(inputs[1]))
    link.receiver.register_forward_pre_hook(lambda module, inputs: states.append(inputs[2].snr_db))
    x, snr_db = torch.rand(2, 3, 512, 512), torch.tensor([-5.0, 10.0])
    link.send_options = SendOptions(header_margin_db=4.0)
    with torch.no_grad():
        link.decode(link.transmit(link.encode(x, snr_db + 3), "awgn", snr_db))
    assert told[0].tolist() == [-2.0, 13.0]
    side = Side.told(x, snr_db + 3, link.send_options.header_margin_code, torch.zeros(2, 1), 8)
    gain = header_leaves(link, side)
    torch.testing.assert_close(torch.cat(states), snr_db + 20 * gain.log10(), atol=1e-3, rtol=0)


def header_leaves(link: Link, side: Side) -> torch.Tensor:
    """The amplitude of a method's symbols of 512x512 px: the header has its power."""
    layout = link.transmitter.config.layout(512, 512, link.send_options)
    return frame.left_to_method(layout, side).gain.float()


def test_evaluation_takes_options(tmp_path: Path, photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    chosen = {"classes": 2, "transmitter_channels": 4, "receiver_channels": [4, 4], "receiver_blocks": [1, 1]}
    method = settings.MethodSettings("kltjscc", chosen)
    link = build(method, seed=1)
    card = factories.card("tiny", "kltjscc", config=config_mapping(method))
    checkpoints.save(tmp_path, card, link.transmitter, link.receiver)
    arguments = ["evaluate", "--checkpoint", tmp_path / "tiny", "--dataset", photos, "--snr-db=5"]
    run(*arguments, "--option", "margin_db = 3.0", "--told-above-db", "1")
    for wrong, message in (("margin=3", "--option: unknown key 'margin'"), ("margin_db=99", "must be in 0..60")):
        assert command_line.main([*map(str, arguments), "--option", wrong]) == 2
        assert message in capsys.readouterr().err


def test_export_loads_and_gives_the_same_image(
    tmp_path: Path, photos: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("JSCC_CACHE", str(tmp_path / "cache"))
    recipe_file = write_recipe(tmp_path / "tiny.toml", photos, tensorboard="true")
    folder, shipped = tmp_path / "run", tmp_path / "checkpoints"
    run("train", recipe_file, "--steps", "4", "--out", folder)
    assert list((folder / "tensorboard").glob("events.*"))
    run("export", folder, "--checkpoints", shipped)
    card = checkpoints.read_card(shipped / "deepjscc.json")
    assert card.config == {"stage_channels": [4, 6, 8, 8], "latent_channels": 8}
    assert card.training["steps"] == 4
    assert card.training["crops"] == 16
    assert card.training["photos"] == 4
    assert [row["step"] for row in card.training["validation"]] == [0, 4]

    device, pixels = torch.device("cpu"), read_image(photos / "0.png")
    ours, theirs = (evaluate.load_link(path, device) for path in (folder, shipped / "deepjscc"))
    x = torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 255
    with torch.no_grad():
        outputs = [link.decode(link.transmit(link.encode(x, 10.0), "awgn", 10.0)) for link in (ours, theirs)]
    torch.testing.assert_close(outputs[0], outputs[1], rtol=0, atol=5e-3)
    average = runs.load_state(folder)["average"]
    torch.testing.assert_close(
        theirs.state_dict()["receiver.output.weight"], average["receiver.output.weight"], rtol=2**-11, atol=1e-7
    )

    arguments = ["evaluate", "--checkpoint", str(shipped / "deepjscc"), "--snr-db=0,10", "--write-card", "--dataset"]
    assert command_line.main([*arguments, str(photos)]) == 2  # not Kodak
    shutil.copytree(photos, tmp_path / "set" / "kodak")
    run(*arguments, tmp_path / "set" / "kodak")
    measured = checkpoints.read_card(shipped / "deepjscc.json").kodak
    assert [row["snr_db"] for row in measured] == [0.0, 10.0]
    assert f"{measured[1]['psnr_db']:.2f}" in capsys.readouterr().out
    for unusual, message in ((["--told-above-db", "3"], "by default"), (["--option", "K=3"], "by default")):
        assert command_line.main([*arguments, str(tmp_path / "set" / "kodak"), *unusual]) == 2
        assert message in capsys.readouterr().err
    assert checkpoints.read_card(shipped / "deepjscc.json").digest == card.digest


def test_a_run_starts_from_shipped_weights(
    tmp_path: Path, photos: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("JSCC_CACHE", str(tmp_path / "cache"))
    recipe_file, shipped = write_recipe(tmp_path / "tiny.toml", photos), tmp_path / "checkpoints"
    run("train", recipe_file, "--steps", "3", "--out", tmp_path / "first")
    run("export", tmp_path / "first", "--checkpoints", shipped)
    first = checkpoints.read_card(shipped / "deepjscc.json")
    weights = checkpoints.tensors(shipped, first)

    recipe = settings.load(recipe_file)
    plan = prepare.TrainingPlan(recipe, recipe_file, tmp_path / "anew", Budget(0, 1), start=shipped / "deepjscc")
    learner = prepare.start(plan).learner
    for name, tensor in learner.link.state_dict().items():
        assert torch.equal(tensor, weights[name]), name

    run("train", recipe_file, "--steps", "2", "--out", tmp_path / "second", "--start", shipped / "deepjscc")
    run("export", tmp_path / "second", "--checkpoints", shipped)
    second = checkpoints.read_card(shipped / "deepjscc.json")
    assert second.training["start"] == {"digest": first.digest, "training": first.training}
    assert second.digest != first.digest

    recipe_file.write_text(recipe_file.read_text().replace("[4, 6, 8, 8]", "[4, 6, 8, 10]"))
    arguments = ["train", str(recipe_file), "--steps", "1", "--out", str(tmp_path / "third")]
    assert command_line.main([*arguments, "--start", str(shipped / "deepjscc")]) == 2
    assert "'receiver.attention.0.logits.bias' has shape (8,), in this recipe (10,)" in capsys.readouterr().err
    other = build(settings.MethodSettings("kltjscc"), 0)
    with pytest.raises(ValueError, match="is of 'deepjscc', not of 'kltjscc'"):
        take_over(other, shipped / "deepjscc")


def test_a_deeper_network_keeps_its_new_blocks(tmp_path: Path) -> None:
    small = {"classes": 2, "transmitter_channels": 4, "receiver_channels": [4, 4], "receiver_blocks": [1, 1]}
    shallow = build(settings.MethodSettings("kltjscc", small), seed=1)
    card = factories.card("small", "kltjscc", config=config_mapping(settings.MethodSettings("kltjscc", small)))
    card = checkpoints.save(tmp_path, card, shallow.transmitter, shallow.receiver)
    deep = build(settings.MethodSettings("kltjscc", small | {"receiver_blocks": [1, 2]}), seed=2)
    own = {name: tensor.clone() for name, tensor in deep.state_dict().items()}
    assert take_over(deep, tmp_path / "small").digest == card.digest
    shipped = checkpoints.tensors(tmp_path, card)
    for name, tensor in deep.state_dict().items():
        assert torch.equal(tensor, shipped.get(name, own[name])), name
    assert set(own) - set(shipped) == {name for name in own if "fine_body" in name and ".1." in name}


def test_evaluation_noise_is_that_of_the_link(photos: Path) -> None:
    link = build(settings.MethodSettings("deepjscc", {"stage_channels": [4, 4, 4, 4], "latent_channels": 8}), 0).eval()
    pixels, snr_db = read_image(photos / "0.png"), 5.0
    x = torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 255
    snrs_db = torch.tensor([snr_db])
    size_px = pixels.shape[:2]
    layout = link.receiver.config.layout(*size_px, link.send_options)
    with torch.no_grad():
        s = link.transmitter.send(x, snrs_db, link.send_options).symbols
        seed = derive_seed(0, "photos/0", snr_db, 0)
        noise = torch.randn([1, s.shape[1]], generator=noise_generator(seed))
        y, state = s + 10 ** (-snr_db / 20) * noise, ChannelState(torch.tensor([10 ** (-snr_db / 10)]))
        x_hat, lost = link.receiver.receive(y, state, layout, size_px, link.receive_options)
    assert lost == ("",)
    expected = (x_hat[0].permute(1, 2, 0) * 255).round().to(torch.uint8).numpy()
    received = evaluate.transmit(link, pixels, "photos/0", snr_db, "float32")
    assert np.abs(received.astype(int) - expected).max() <= 1
    assert (received == expected).mean() > 0.999


def test_initialise_is_called_at_step_0(tmp_path: Path, photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JSCC_CACHE", str(tmp_path / "cache"))
    text = write_recipe(tmp_path / "tiny.toml", photos, initialise_photos="3").read_text()
    (tmp_path / "tiny.toml").write_text(text.replace("[4, 6, 8, 8]", "[12, 48, 192, 8]"))
    recipe = settings.load(tmp_path / "tiny.toml")
    plan = prepare.TrainingPlan(recipe, tmp_path / "tiny.toml", tmp_path / "run", Budget(0, 1))
    learner = prepare.start(plan).learner
    step = learner.link.state_dict()["transmitter.carriers.0.weight"][:12, :3, 2:4, 2:4]
    # The first stage is the orthonormal Hadamard transform of 2x2 blocks: every entry is 0 or +-1/2.
    assert set(step.unique().tolist()) == {-0.5, 0.0, 0.5}


@pytest.mark.slow
def test_imports_without_the_optional_packages() -> None:
    absent = ("grpc", "pydantic", "tensorboard", "pytorch_msssim", "rich", "torchvision", "lpips", "constriction")
    code = f"import sys\nfor name in {absent}: sys.modules[name] = None\nimport trainer.__main__"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.slow
def test_missing_tensorboard_is_one_line(tmp_path: Path, photos: Path) -> None:
    recipe_file = write_recipe(tmp_path / "tiny.toml", photos, tensorboard="true")
    code = (
        "import sys\nsys.modules['tensorboard'] = None\nfrom trainer.__main__ import main\n"
        f"sys.exit(main(['train', {str(recipe_file)!r}, '--steps', '1', '--out', {str(tmp_path / 'run')!r}]))"
    )
    variables = os.environ | {"JSCC_CACHE": str(tmp_path / "cache")}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, env=variables)
    assert done.returncode == 0, done.stderr
    assert sum("is not installed" in line for line in done.stderr.splitlines()) == 1
    with (tmp_path / "run" / "validation.csv").open() as file:
        assert len(list(csv.DictReader(file))) == 2


def test_too_few_photos(tmp_path: Path, recipe_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "one").mkdir()
    Image.new("RGB", (48, 48)).save(tmp_path / "one" / "0.png")
    arguments = [
        "train",
        str(recipe_file),
        "--steps",
        "1",
        "--data",
        str(tmp_path / "one"),
        "--out",
        str(tmp_path / "r"),
    ]
    assert command_line.main(arguments) == 2
    assert "too few" in capsys.readouterr().err
