"""When a benchmark of the link ends, which percentiles it tells, and what it says of itself."""

from collections.abc import AsyncIterator

import pytest
from factories import MS, row
from rich.console import Console

from services.orchestrator.cli.bench import BenchPlan, Measured, document, measure, table, title
from services.orchestrator.results.rows import Row

SIZE_PX = (512, 768)


class Link:
    """Answers with rows of given total times, and counts those that were asked for."""

    def __init__(self, totals_ms: list[float]) -> None:
        self.totals_ms, self.asked = totals_ms, 0

    async def rows(self) -> AsyncIterator[Row]:
        for total_ms in self.totals_ms:
            self.asked += 1
            yield row(total_ns=round(total_ms * MS))


def plan(**changes: float) -> BenchPlan:
    known: dict[str, float] = {"count": 2, "warm_up": 0, "within_percent": 10.0, "max_windows": 5}
    return BenchPlan(**(known | changes))  # type: ignore[arg-type]


async def measured(totals_ms: list[float], **changes: float) -> tuple[Measured, Link]:
    link = Link(totals_ms)
    return await measure(link.rows(), plan(**changes)), link


async def test_it_ends_with_three_windows_that_agree() -> None:
    found, link = await measured([100, 100, 80, 80, 70, 70, 65, 65, 66, 66, 1, 1])
    # of 100, 80, 70 the first is 20 % from the mean 83.3; of 80, 70, 65 it is 12 %; of 70, 65, 66 it is 4 %
    assert link.asked == 10
    assert found.medians_ms == [100, 80, 70, 65, 66]
    assert found.is_settled
    assert [it.total_ns / MS for it in found.counted] == [70, 70, 65, 65, 66, 66]


@pytest.mark.parametrize(("within_percent", "asked"), [(20.0, 6), (19.9, 8)])
async def test_windows_agree_up_to_the_given_share_of_their_mean(within_percent: float, asked: int) -> None:
    # 80 and 120 are 20 % from the mean of the first three, 120 is 12.5 % from that of the next.
    found, link = await measured([80, 80, 100, 100, 120, 120, 100, 100, 100, 100], within_percent=within_percent)
    assert link.asked == asked
    assert found.is_settled


async def test_one_outlier_in_a_window_does_not_count() -> None:
    found, _ = await measured([50, 50, 900, 50, 50, 50, 50, 50, 50], count=3)
    assert (found.is_settled, len(found.windows)) == (True, 3)


async def test_what_does_not_settle_ends_and_is_said_to() -> None:
    found, link = await measured([10, 10, 20, 20, 40, 40, 80, 80, 160, 160, 320], warm_up=0)
    assert link.asked == 10
    assert not found.is_settled
    assert "NOT SETTLED after 5 windows, the medians of the last are 40.0 80.0 160.0 ms" in title(found, SIZE_PX)
    assert document(found, SIZE_PX)["settled"] is False


async def test_warm_up_is_not_counted() -> None:
    found, link = await measured([1000, 1000, 1000, 50, 50, 50, 50, 50, 50], warm_up=3)
    assert (link.asked, found.medians_ms) == (9, [50, 50, 50])


@pytest.mark.parametrize(("count", "shown"), [(1, ["p50"]), (7, ["p50", "p95"]), (33, ["p50", "p95"]), (34, None)])
async def test_percentiles_need_samples_above_them(count: int, shown: list[str] | None) -> None:
    found, _ = await measured([50.0] * 3 * count, count=count)
    expected = shown or ["p50", "p95", "p99"]
    assert [name for name, value in found.percentiles_ms()["total"].items() if value is not None] == expected
    assert [str(column.header) for column in table(found).columns] == ["", *expected]


async def test_percentiles_are_of_the_windows_that_agree() -> None:
    found, _ = await measured([*map(float, range(1, 102))], count=101, max_windows=1)
    assert found.percentiles_ms()["total"] == {"p50": 51.0, "p95": 96.0, "p99": 100.0}


async def test_title_and_document_say_what_was_measured() -> None:
    found, _ = await measured([50.0] * 60, count=20)
    expected = (
        "deepjscc, awgn, 0 dB, 768x512 px, one after the other: 60 transmissions in 3 windows that agree within 10 %"
    )
    assert title(found, SIZE_PX) == expected
    told = document(found, SIZE_PX)
    assert (told["method"], told["channel"], told["snr_db"]) == ("deepjscc", "awgn", 0.0)
    assert (told["height_px"], told["width_px"], told["counted"]) == (512, 768, 60)
    assert told["windows"] == [{"transmissions": 20, "median_ms": 50.0}] * 3
    assert list(told["hops"]) == ["encoder", "channel", "decoder"]
    # A hop of 10 ms, see factories.hop, the orchestrator's own 4 and 15 ms, and 1 ms of its codec.
    stages = told["hops"]["channel"]
    assert sum(it["p50"] for name, it in stages.items() if not name.startswith("bytes")) == pytest.approx(10)
    assert {name: it["p95"] for name, it in told["own"].items()} == {"load": 4.0, "codec": 1.0, "score": 15.0}
    console = Console(width=200)
    with console.capture() as shown:
        console.print(table(found))
    (total,) = (line.split() for line in shown.get().splitlines() if "total" in line)
    assert total == ["total", "50.000", "50.000"]
