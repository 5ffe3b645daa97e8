"""Work ends at its next step when nobody waits for it, and never otherwise."""

import contextvars
import threading

import pytest

from jscc import cancel
from jscc.cancel import AbandonedError, Cancellation


def test_without_a_caller_work_goes_on() -> None:
    cancel.check()
    with cancel.working_for():
        cancel.check()


def test_work_ends_once_its_caller_has_left() -> None:
    caller = Cancellation(timeout_s=3600)
    with cancel.working_for(caller):
        cancel.check()
        caller.cancel()
        with pytest.raises(AbandonedError, match=r"^the caller has left$") as ended:
            cancel.check()
    assert not ended.value.is_late
    cancel.check()


def test_work_ends_once_its_deadline_has_passed() -> None:
    late = pytest.raises(AbandonedError, match=r"^the deadline has passed$")
    with cancel.working_for(Cancellation(timeout_s=0)), late as ended:
        cancel.check()
    assert ended.value.is_late


def test_work_for_several_goes_on_while_one_of_them_waits() -> None:
    callers = [Cancellation() for _ in range(3)]
    with cancel.working_for(*callers):
        for caller in callers:
            cancel.check()
            caller.cancel()
        with pytest.raises(AbandonedError):
            cancel.check()


def test_a_thread_has_callers_of_its_own() -> None:
    ended = Cancellation(timeout_s=0)
    seen: list[str] = []

    def work() -> None:
        cancel.check()
        seen.append("went on")

    with cancel.working_for(ended):
        thread = threading.Thread(target=contextvars.Context().run, args=(work,))
        thread.start()
        thread.join()
    assert seen == ["went on"]
