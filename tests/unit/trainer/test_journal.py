"""The log of a run."""

from pathlib import Path

from trainer.journal import Journal, read_rows


class TestJournal:
    def row(self, step: int) -> dict[str, float]:
        columns = ("elapsed_s", "crops", "learning_rate", "loss", "psnr_db", "gradient_norm", "crops_per_s")
        return {"step": step, **dict.fromkeys(columns, 0.125)}

    def test_rows_after_the_checkpoint_are_dropped(self, tmp_path: Path) -> None:
        with Journal(tmp_path, 0, (5.0,), tensorboard=False) as journal:
            for step in (10, 20, 30):
                journal.log(self.row(step))
        with (tmp_path / "log.csv").open("a") as file:
            file.write("40,0.1")  # torn by a kill
        with Journal(tmp_path, 20, (5.0,), tensorboard=False) as journal:
            journal.log(self.row(30))
        assert [row["step"] for row in read_rows(tmp_path / "log.csv")] == [10, 20, 30]
        assert (tmp_path / "log.csv").read_text().splitlines()[1] == "10" + ",0.125" * 7
