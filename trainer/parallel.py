"""Training by several processes that torchrun starts: who is who, what they agree on.

The processes of a team hold the same weights and the same generators. Whatever is drawn per image is drawn for the
whole batch, and each process keeps its own rows (`jscc.draws.Draws`), so that a team of any size does what one process
does.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist

_LONGEST_WAIT = timedelta(hours=4)
"""The others wait while the first process decodes photos, validates or writes."""


@dataclass(frozen=True)
class Team:
    """The processes of a run.

    Attributes:
        rank: number of this process.
        size: number of processes.
        local_rank: number of this process on its machine, which is that of its GPU.
        control: process group on CPUs for what is agreed on; None in a team of one.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    control: Any = None

    @property
    def leads(self) -> bool:
        """Whether this process writes logs and checkpoints."""
        return self.rank == 0

    def rows(self, batch_size: int) -> slice:
        """Return the rows of a batch that are this process's.

        Raises:
            ValueError: the batch cannot be shared out evenly.
        """
        if batch_size % self.size:
            raise ValueError(f"data.batch_size: {batch_size} cannot be shared by {self.size} processes")
        share = batch_size // self.size
        return slice(self.rank * share, (self.rank + 1) * share)

    def largest(self, values: Sequence[float]) -> list[float]:
        """Return the elementwise maximum over the team; waits for all of it."""
        return self._reduced(values, dist.ReduceOp.MAX) if self.size > 1 else list(values)

    def mean(self, values: Sequence[float]) -> list[float]:
        """Return the elementwise mean over the team; waits for all of it."""
        if self.size == 1:
            return list(values)
        return [total / self.size for total in self._reduced(values, dist.ReduceOp.SUM)]

    def _reduced(self, values: Sequence[float], operation: Any) -> list[float]:
        shared = torch.tensor([*values, 0.0], dtype=torch.float64)  # never empty
        dist.all_reduce(shared, operation, group=self.control)
        reduced: list[float] = shared.tolist()
        return reduced[:-1]

    @contextmanager
    def first(self) -> Iterator[None]:
        """Let the first process do what is inside before the others do it: they find the files that it wrote."""
        if not self.leads:
            self.largest([])
        yield
        if self.leads:
            self.largest([])


def restarts() -> int:
    """Return how often torchrun has started this process anew after one of the team died."""
    return int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0"))


@contextmanager
def team(device_name: str) -> Iterator[Team]:
    """Join the team that torchrun's environment variables describe; without them, a team of one.

    Args:
        device_name: "auto", "cpu" or "cuda"; with a GPU for each process gradients go through nccl, else gloo.

    Raises:
        ValueError: there are fewer GPUs than processes on this machine.
    """
    rank, size, local_rank = (int(os.environ.get(name, "0")) for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"))
    if size <= 1:
        yield Team()
        return
    on_gpu = device_name.startswith("cuda") or (device_name == "auto" and torch.cuda.is_available())
    if on_gpu and local_rank >= torch.cuda.device_count():
        raise ValueError(f"torchrun: process {local_rank} has no GPU, there are {torch.cuda.device_count()}")
    backend, store = "nccl" if on_gpu else "gloo", _store(rank, size)
    dist.init_process_group(backend, store=store, rank=rank, world_size=size, timeout=_LONGEST_WAIT)
    try:
        control = dist.new_group(backend="gloo", timeout=_LONGEST_WAIT)
        yield Team(rank, size, local_rank, control)
    finally:
        dist.destroy_process_group()


def _store(rank: int, size: int) -> Any:
    """Return the store through which the processes find each other.

    On one machine torchrun keeps it over restarts, so the addresses of dead processes would be found in it; each
    start gets a part of its own. Machines count their restarts differently and get a new store with each.
    """
    store, _, _ = next(dist.rendezvous("env://", rank, size, timeout=_LONGEST_WAIT))  # type: ignore[attr-defined]
    on_one_machine = os.environ.get("LOCAL_WORLD_SIZE") == str(size)
    if not on_one_machine:
        return store
    return dist.PrefixStore(f"start_{restarts()}", store)  # type: ignore[attr-defined]
