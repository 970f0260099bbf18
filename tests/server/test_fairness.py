"""Fair queueing: who has used least is next. Time is what the test says, so no clock decides."""

from __future__ import annotations

import asyncio

import pytest

from datastore.server.fairness import Bucket, BusyError, Lane, Share


def run(coroutine):
    return asyncio.run(coroutine)


async def queued(lane: Lane, share: Share, name: str, order: list[str]) -> None:
    await lane.enter(share)
    order.append(name)
    lane.leave(share, 1.0)


def test_a_token_with_many_calls_waits_for_one_with_few():
    async def scenario() -> list[str]:
        lane, order = Lane(1, 1, 100, 60), list[str]()
        holding, greedy, modest = Share(), Share(), Share()
        assert lane.enter_at_once(holding)
        waiting = [asyncio.create_task(queued(lane, greedy, "greedy", order)) for _ in range(5)]
        await asyncio.sleep(0)
        waiting += [asyncio.create_task(queued(lane, modest, "modest", order)) for _ in range(2)]
        await asyncio.sleep(0)
        lane.leave(holding, 1.0)
        await asyncio.gather(*waiting)
        return order

    assert run(scenario()) == ["greedy", "modest", "greedy", "modest", "greedy", "greedy", "greedy"]


def test_a_token_with_long_calls_gets_fewer_of_them():
    async def scenario() -> list[str]:
        lane, order = Lane(1, 1, 100, 60), list[str]()
        shares = {"long": Share(), "short": Share()}
        holding = Share()
        lane.enter_at_once(holding)

        async def one(name: str) -> None:
            await lane.enter(shares[name])
            order.append(name)
            lane.leave(shares[name], 10.0 if name == "long" else 1.0)

        waiting = [asyncio.create_task(one(name)) for _ in range(10) for name in ("long", "short")]
        await asyncio.sleep(0)
        lane.leave(holding, 0.0)
        await asyncio.gather(*waiting)
        return order

    order = run(scenario())
    assert order.index("long") < 2
    assert order[:11].count("short") >= 9


def test_what_was_not_used_is_not_saved_up():
    async def scenario() -> list[str]:
        lane, order = Lane(1, 1, 100, 60), list[str]()
        busy, idle = Share(), Share()
        for _ in range(100):  # a long time in which the other one asks nothing
            lane.enter_at_once(busy)
            lane.leave(busy, 1.0)
        lane.enter_at_once(busy)
        waiting = [asyncio.create_task(queued(lane, busy, "busy", order)) for _ in range(3)]
        waiting += [asyncio.create_task(queued(lane, idle, "idle", order)) for _ in range(3)]
        await asyncio.sleep(0)
        lane.leave(busy, 1.0)
        await asyncio.gather(*waiting)
        return order

    order = run(scenario())
    assert order[-1] == "busy"
    assert "busy" in order[:5]


def test_one_token_does_not_have_all_places():
    async def scenario() -> None:
        lane, one, other = Lane(4, 2, 10, 60), Share(), Share()
        assert lane.enter_at_once(one)
        assert lane.enter_at_once(one)
        assert not lane.enter_at_once(one)
        assert lane.enter_at_once(other)

    run(scenario())


def test_whoever_waits_too_long_or_with_too_many_is_refused_and_leaves_no_trace():
    async def scenario() -> None:
        lane, share = Lane(1, 1, 1, 0.05), Share()
        assert lane.enter_at_once(share)
        waiting = asyncio.create_task(lane.enter(share))
        await asyncio.sleep(0)
        with pytest.raises(BusyError, match="waiting"):
            await lane.enter(share)
        with pytest.raises(BusyError, match="busy"):
            await waiting
        lane.leave(share, 0.0)
        assert lane.enter_at_once(share)

    run(scenario())


def test_a_place_that_was_given_to_whoever_is_cancelled_is_given_on():
    async def scenario() -> None:
        lane, share = Lane(1, 1, 10, 60), Share()
        assert lane.enter_at_once(share)
        first, second = asyncio.create_task(lane.enter(share)), asyncio.create_task(lane.enter(share))
        await asyncio.sleep(0)
        lane.leave(share, 0.0)
        first.cancel()  # in the same turn in which it was given the place
        await asyncio.wait_for(second, 5)
        assert share.active == 1

    run(scenario())


def test_a_bucket_has_the_calls_of_a_minute_and_no_more():
    bucket = Bucket(3)
    for _ in range(3):
        assert bucket.wait() == 0
        bucket.take()
    assert 0 < bucket.wait() <= 20
    assert Bucket(0).wait() > 0
