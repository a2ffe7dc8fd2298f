"""A time limit ends a block, and what the block is cleaned up with, and nothing else."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from api.database import time_limits
from api.database.time_limits import TimeLimit

Work = Callable[[], Awaitable[object]]


async def forever() -> None:
    await asyncio.sleep(3_600)


async def nothing() -> None:
    await asyncio.sleep(0)


async def do(work: Work, within: float, *, then: Work = nothing) -> None:
    """Do something within some seconds, and something else when it ends."""
    await in_limit(TimeLimit.of(within), work, then=then)


async def in_limit(limit: TimeLimit, work: Work, *, then: Work = nothing) -> None:
    async with limit:
        try:
            await work()
        finally:
            await then()


def current_task() -> asyncio.Task[object]:
    task = asyncio.current_task()
    assert task is not None
    return task


@pytest.fixture(autouse=True)
def _short_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time_limits, "CANCEL_GRACE", 0.01)


class TestTimeLimit:
    async def test_a_block_that_ends_in_time_is_left_alone(self) -> None:
        await do(nothing, within=3_600)

    @pytest.mark.parametrize("seconds", [0.01, 0, -1])
    async def test_a_block_that_does_not_end_raises(self, seconds: float) -> None:
        with pytest.raises(TimeoutError):
            await do(forever, within=seconds)

    async def test_what_a_block_is_cleaned_up_with_is_ended_too(self) -> None:
        with pytest.raises(TimeoutError):
            await do(forever, within=0.01, then=forever)

    async def test_what_a_block_is_cleaned_up_with_may_take_its_time(self, monkeypatch: pytest.MonkeyPatch) -> None:
        async def clean_up() -> None:
            await asyncio.sleep(0.05)
            done.set()

        monkeypatch.setattr(time_limits, "CANCEL_GRACE", 3_600)
        done = asyncio.Event()
        with pytest.raises(TimeoutError):
            await do(forever, within=0.01, then=clean_up)
        assert done.is_set()

    async def test_an_error_of_the_block_stands(self) -> None:
        async def fail() -> None:
            raise KeyError

        with pytest.raises(KeyError):
            await do(forever, within=0.01, then=fail)

    async def test_the_task_can_wait_again_after_its_limit(self) -> None:
        for _ in range(2):
            with pytest.raises(TimeoutError):
                await do(forever, within=0.01, then=forever)
            assert current_task().cancelling() == 0
        await asyncio.sleep(0)

    async def test_a_task_that_is_being_cancelled_has_limits_too(self) -> None:
        """As where a transaction is rolled back because its client hung up."""

        async def work() -> None:
            try:
                await forever()
            finally:
                with pytest.raises(TimeoutError):
                    await do(forever, within=0.01)
                assert current_task().cancelling() == 1

        task = asyncio.create_task(work())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    async def test_a_cancellation_by_somebody_else_is_no_timeout(self) -> None:
        async def wait() -> None:
            began.set()
            await forever()

        began = asyncio.Event()
        task = asyncio.create_task(do(wait, within=3_600))
        await began.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    async def test_a_cancellation_by_somebody_else_meanwhile_is_no_timeout(self) -> None:
        async def cancel() -> None:
            task.cancel()
            await asyncio.sleep(0)

        task = asyncio.create_task(do(forever, within=0.01, then=cancel))
        with pytest.raises(asyncio.CancelledError):
            await task

    async def test_the_inner_of_two_limits_ends_the_inner_block(self) -> None:
        async with TimeLimit.of(3_600):
            with pytest.raises(TimeoutError):
                await do(forever, within=0.01)

    async def test_the_outer_of_two_limits_ends_what_the_inner_block_is_cleaned_up_with(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def work() -> None:
            await do(forever, within=0.01, then=forever)

        monkeypatch.setattr(time_limits, "CANCEL_GRACE", 3_600)
        with pytest.raises(TimeoutError):
            await do(work, within=0.03)
        assert current_task().cancelling() == 0

    async def test_a_limit_is_not_moved_while_its_block_is_cleaned_up(self) -> None:
        async def clean_up() -> None:
            limit.move(asyncio.get_running_loop().time() + 3_600)
            await forever()

        limit = TimeLimit.of(0.01)
        with pytest.raises(TimeoutError):
            await in_limit(limit, forever, then=clean_up)

    async def test_a_limit_is_moved_within_its_block_alone(self) -> None:
        limit = TimeLimit.of(3_600)
        with pytest.raises(RuntimeError, match="within its block"):
            limit.move(None)
        await in_limit(limit, nothing)
        with pytest.raises(RuntimeError, match="within its block"):
            limit.move(None)

    async def test_a_limit_can_be_lifted_and_set_again(self) -> None:
        async def upload() -> None:
            limit.move(None)
            await asyncio.sleep(0.05)
            uploaded.set()
            limit.move(asyncio.get_running_loop().time())
            await forever()

        limit, uploaded = TimeLimit.of(0.01), asyncio.Event()
        with pytest.raises(TimeoutError):
            await in_limit(limit, upload)
        assert uploaded.is_set()
