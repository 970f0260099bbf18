"""Which writes are remembered, for how long, and what a repeat is told of one that is not."""

from __future__ import annotations

import asyncio

import pytest

from datastore.errors import BackendUnavailableError, InvalidValueError, OutcomeUnknownError
from datastore.wire import answered
from datastore.wire.answered import Answer, Answers, mark_of

MARK = mark_of("set", b"{}")


@pytest.fixture
def clock(monkeypatch):
    class Clock:
        now = 1_000.0

        def monotonic(self) -> float:
            return self.now

    clock = Clock()
    monkeypatch.setattr(answered, "time", clock)
    return clock


async def make(answers: Answers, key: str, body: bytes = b"done") -> None:
    assert await answers.before(key, MARK, is_repeat=False) is None
    answers.after(key, Answer(200, body))


def test_a_repeat_gets_the_answer_as_long_as_it_is_remembered(clock):
    async def scenario() -> None:
        answers = Answers(600, 1_000)
        await make(answers, "a")
        clock.now += 599
        assert await answers.before("a", MARK, is_repeat=True) == Answer(200, b"done")
        clock.now += 2
        assert answers.is_empty()

    asyncio.run(scenario())


def test_a_repeat_of_one_that_is_under_way_waits_for_it(clock):
    async def scenario() -> None:
        answers = Answers(600, 1_000)
        assert await answers.before("a", MARK, is_repeat=False) is None
        repeat = asyncio.create_task(answers.before("a", MARK, is_repeat=True))
        await asyncio.sleep(0)
        assert not repeat.done()
        answers.after("a", Answer(200, b"done"))
        assert await repeat == Answer(200, b"done")

    asyncio.run(scenario())


def test_of_too_many_answers_the_oldest_are_known_to_be_given(clock):
    async def scenario() -> None:
        answers = Answers(600, 100)
        for key in ("a", "b", "c"):
            await make(answers, key, b"x" * 40)
        with pytest.raises(OutcomeUnknownError):
            await answers.before("a", MARK, is_repeat=True)
        assert await answers.before("c", MARK, is_repeat=True) is not None

    asyncio.run(scenario())


def test_of_too_many_writes_the_oldest_are_forgotten_and_then_no_unknown_repeat_is_done(clock):
    async def scenario() -> None:
        answers = Answers(600, 1_000, most=2)
        for key in ("a", "b", "c"):
            await make(answers, key)
            clock.now += 1
        with pytest.raises(BackendUnavailableError, match="may or may not have reached"):
            await answers.before("a", MARK, is_repeat=True)
        await make(answers, "d")  # what is new is done all the same
        clock.now += 700
        assert await answers.before("e", MARK, is_repeat=True) is None

    asyncio.run(scenario())


def test_one_that_was_not_begun_can_be_made_again(clock):
    async def scenario() -> None:
        answers = Answers(600, 1_000)
        assert await answers.before("a", MARK, is_repeat=False) is None
        answers.undone("a")
        await make(answers, "a")

    asyncio.run(scenario())


def test_another_call_or_another_body_is_not_taken_for_a_repeat(clock):
    async def scenario() -> None:
        answers = Answers(600, 1_000)
        await make(answers, "a")
        for mark in (mark_of("add", b"{}"), mark_of("set", b"{ }")):
            with pytest.raises(InvalidValueError, match="another call"):
                await answers.before("a", mark, is_repeat=False)

    asyncio.run(scenario())
