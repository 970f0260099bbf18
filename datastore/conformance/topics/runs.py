"""Runs that resume: steps, effects, answers, branches, forks, and what a crash at any write leaves."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest

from datastore import (
    AgentDataStore,
    AnswerTimeoutError,
    BackendUnavailableError,
    DataStore,
    EffectUnknownError,
    InvalidNameError,
    InvalidValueError,
    KeyExistsError,
    LeaseHeldError,
    LeaseLostError,
    NoSuchRunError,
    PermissionDeniedError,
    QueryError,
    Quota,
    QuotaExceededError,
    ReentrantCallError,
    Run,
    RunChangedError,
    RunOverError,
    StepFailedError,
    ValueTooLargeError,
)
from datastore.backend import Outcome, Write
from datastore.conformance.clock import Clock
from datastore.conformance.faults import LosesAnswers, Untouchable, Wrapped
from datastore.conformance.races import race
from datastore.conformance.topic import Opener, Topic, Wrapper
from datastore.conformance.topics.claims import several
from datastore.runs.entries import OVER, STATUSES
from datastore.scope import scope_of

LEASE = 30
"""Seconds for which a run is held without a renewal."""
DEAD = LEASE * 1.2
"""Seconds after which the worker of a run has surely lost it."""


WRITES: dict[str, Callable[[Any], object]] = {
    "start": lambda runs: runs.start("run"),
    "resume": lambda runs: runs.resume("run"),
    "signal": lambda runs: runs.signal("run", "go"),
    "cancel": lambda runs: runs.cancel("run"),
    "retry": lambda runs: runs.retry("run"),
    "fork": lambda runs: runs.fork("run", at=0),
    "prune": lambda runs: runs.prune(keep=0),
}
"""The calls of `datastore.Runs` that write."""


class KilledError(BaseException):
    """The worker is gone: whatever it does from now on does not reach the database."""


class Dies(Wrapped):
    """Kills its worker at a write: before it is made, or after, when nobody is left to be told."""

    left: float = float("inf")
    """Writes until then."""
    after = False
    dead = False

    def write(self, writes: Sequence[Write]) -> list[Outcome]:
        self._check()
        self.left -= 1
        if self.left >= 0:
            return super().write(writes)
        self.dead = True
        if self.after:
            super().write(writes)
        raise KilledError

    def read(self, *args: Any, **kwargs: Any) -> Any:
        self._check()
        return super().read(*args, **kwargs)

    def scan(self, *args: Any, **kwargs: Any) -> Any:
        self._check()
        return super().scan(*args, **kwargs)

    def _check(self) -> None:
        if self.dead:
            raise KilledError


class World:
    """What the steps of `everything` do outside of the store."""

    def __init__(self) -> None:
        self.fetched: list[int] = []
        self.paid = 0
        self.unknown = 0
        self.tried: list[int] = []

    def fetch(self, page: int) -> list[int]:
        """Do something that may be done twice."""
        self.fetched.append(page)
        return [page, page * page]

    def pay(self) -> str:
        """Do something that must not be done twice."""
        self.paid += 1
        return "paid"

    def find_out(self) -> str:
        """Look whether it was done, and do it if it was not."""
        self.unknown += 1
        return "paid" if self.paid else self.pay()

    def attempt(self, number: int) -> int:
        """Work on a branch."""
        self.tried.append(number)
        return number * 10


def everything(run: Run, world: World) -> Any:
    """Use every call of a run."""
    pages = run.state.setdefault("pages", [])
    for page in (1, 2):
        pages.append(run.step("fetch", world.fetch, page))
        run.state["done"] = page
    run.effect("pay", world.pay, unknown=world.find_out)
    run.checkpoint(every=1_000)
    said = run.wait_for("approval")
    branch = run.branch(2)
    if branch.index is not None:
        return run.step("attempt", world.attempt, branch.index)
    results = run.join(branch.children)
    if "~" not in run.id:  # not in the fork itself, which comes here as well
        run.fork()
    return [said, results, run.state["pages"], run.state["done"]]


EXPECTED = ["yes", [0, 10], [[1, 1], [2, 4]], 2]


def go_on(data_store: AgentDataStore, world: World, id: str = "run") -> None:
    """Work on a run, as a worker does to whom `due` has named it."""
    with suppress(RunOverError), data_store.runs.resume(id, lease=LEASE) as run:
        run.finish(everything(run, world))


def drive(data_store: AgentDataStore, clock: Clock, world: World, id: str = "run") -> Any:
    """Work on whatever is due until a run is over, and all that came from it, and return its result."""
    for _ in range(30):
        due = data_store.runs.due()
        for one in due:
            go_on(data_store, world, one)
        info = data_store.runs.get(id)
        if info is not None and info.status == "done" and all(one.status in OVER for one in data_store.runs.list()):
            return data_store.runs.result(id)
        if info is not None and info.waiting_for == "approval":
            data_store.runs.signal(id, "approval", "yes")
        if not due:
            clock.advance(DEAD)
    raise AssertionError("the run does not come to its end")


def crash_at(data_store: AgentDataStore, wrapped: Wrapper, clock: Clock, write: int, *, after: bool, id: str) -> bool:
    """Let a worker die at a write, let others go on, check what came of it, and return whether it died at all."""
    world, backend = World(), list[Dies]()

    def dies(inner: Any) -> Dies:
        backend.append(Dies(inner))
        return backend[0]

    doomed = wrapped(dies, tracking="off").agent("user_1", "doomed")
    backend[0].left, backend[0].after = write, after
    try:
        with suppress(RunOverError):
            with doomed.runs.start(id, "input", lease=LEASE) as run:
                run.finish(everything(run, world))
            doomed.runs.signal(id, "approval", "yes")
            for _ in range(4):
                for one in doomed.runs.due():
                    go_on(doomed, world, one)
        died = False
    except BaseException:
        if not backend[0].dead:  # where a server died, its client is told something else
            raise
        died = True
    clock.advance(DEAD)
    with suppress(KeyExistsError):  # whoever wanted the run begins it once more
        data_store.runs.start(id, "input", lease=LEASE).release()
    result = drive(data_store, clock, world, id)
    assert result == EXPECTED, "the result is that of a run that was never interrupted"
    assert world.paid == 1, "the effect took place once"
    assert world.unknown <= 1, "or somebody was asked"
    assert set(world.fetched) == {1, 2}
    assert len(world.fetched) <= 3, "one step at most was called again"
    assert data_store.runs.history(id, limit=1, reverse=True)[0].kind == "end"
    assert listed(data_store) == told(data_store)
    return died


def fail() -> None:
    """Raise an error."""
    raise OSError("a secret")


class Runs(Topic):
    """Journals of steps that any worker can go on with."""

    # ----------------------------------------------------------------------------------------------------- steps

    def test_a_step_runs_once_and_keeps_its_result(self, data_store: AgentDataStore) -> None:
        """On resume the kept result comes back, and the function is not called; names may repeat."""
        called = list[int]()

        def double(number: int) -> int:
            called.append(number)
            return number * 2

        run = data_store.runs.start("run", {"a": 1})
        assert (run.id, run.input) == ("run", {"a": 1})
        assert [run.step("double", double, number) for number in (1, 2, 3)] == [2, 4, 6]
        run.release()
        run = data_store.runs.resume("run")
        assert run.input == {"a": 1}
        assert run.is_replaying
        assert [run.step("double", double, number) for number in (1, 2, 3, 4)] == [2, 4, 6, 8]
        assert not run.is_replaying
        assert called == [1, 2, 3, 4]

    def test_a_result_is_the_same_now_and_on_resume(self, data_store: AgentDataStore) -> None:
        """A tuple is an array in both; what the function holds on to does not change what is kept."""
        kept = [1]
        run = data_store.runs.start("run")
        first = run.step("pair", lambda: (kept, None))
        kept.append(2)
        run.release()
        assert first == data_store.runs.resume("run").step("pair", fail) == [[1], None]

    def test_state_is_saved_with_the_step_that_changed_it(self, data_store: AgentDataStore) -> None:
        """What changed after the last step is what the program does again; in place is a change, too."""
        run = data_store.runs.start("run")
        run.state.update(n=1, items=["a"], gone=True)
        items = run.state["items"]
        run.step("one", str)
        items.append("b")
        del run.state["gone"]
        run.step("two", str)
        run.state["n"] = 99
        run.release()
        run = data_store.runs.resume("run")
        assert dict(run.state) == {}
        run.step("one", fail)
        assert dict(run.state) == {"n": 1, "items": ["a"], "gone": True}
        run.step("two", fail)
        assert dict(run.state) == {"n": 1, "items": ["a", "b"]}

    def test_a_program_that_does_the_same_again_has_the_same_state(self, data_store: AgentDataStore) -> None:
        """A list that it holds stays the one in the state, in the replay as before."""
        for attempt in (1, 2):
            run = data_store.runs.start("run") if attempt == 1 else data_store.runs.resume("run")
            items = run.state.setdefault("items", [])
            for number in range(2 + attempt):
                items.append(number)
                run.step("step", str)
            assert run.state["items"] is items
            assert run.state["items"] == list(range(2 + attempt))
            run.release()

    def test_only_what_changed_of_the_state_is_stored(self, data_store: AgentDataStore) -> None:
        """A step of a run with 100 KB of state, of which 1 KB changes, stores little more than that."""
        run = data_store.runs.start("run")
        for number in range(100):
            run.state[f"v{number}"] = "x" * 1_000
        run.step("all", str)
        run.state["v7"] = "y" * 1_000
        run.step("one", str)
        all_of_it, one = data_store.runs.history("run")
        assert all_of_it.bytes > 100_000
        assert one.bytes < 1_200

    def test_a_changed_order_is_an_error_that_says_so(self, data_store: AgentDataStore) -> None:
        """Nothing is written, and the right program still goes on."""
        run = data_store.runs.start("run")
        run.step("one", int)
        run.step("two", int)
        run.release()
        run = data_store.runs.resume("run")
        with pytest.raises(
            RunChangedError, match=r"entry 1 of the journal is step 'one', .* asks for step 'two'"
        ) as error:
            run.step("two", int)
        assert error.value.number == 1
        with pytest.raises(RunChangedError):
            run.step("one", int)
        run.release()
        run = data_store.runs.resume("run")
        with pytest.raises(RunChangedError, match="asks for end"):
            run.finish()
        run.release()
        run = data_store.runs.resume("run")
        assert [run.step("one", fail), run.step("two", fail), run.step("three", int)] == [0, 0, 0]

    def test_a_step_that_fails_is_retried_and_then_raises(self, data_store: AgentDataStore) -> None:
        """The history says how often; no message quotes what was raised."""
        attempts = list[int]()

        def third_time() -> str:
            attempts.append(1)
            if len(attempts) < 3:
                raise OSError("not yet")
            return "there"

        run = data_store.runs.start("run")
        assert run.step("fetch", third_time, retries=5, backoff=0) == "there"
        with pytest.raises(StepFailedError) as error:
            run.step("bad", fail, retries=1, backoff=0)
        assert (error.value.step, error.value.error) == ("bad", "OSError")
        assert isinstance(error.value.__cause__, OSError)
        assert "secret" not in str(error.value)
        fetched, bad = data_store.runs.history("run")
        assert (fetched.kind, fetched.attempts, bad.kind, bad.attempts, bad.error) == (
            "step",
            3,
            "failed",
            2,
            "OSError",
        )

    def test_a_failure_that_the_program_went_on_after_is_raised_again(self, data_store: AgentDataStore) -> None:
        """And one that it did not go on after is tried again."""

        def program(run: Run, function: Callable[[], Any]) -> Any:
            try:
                return run.step("first", function)
            except StepFailedError:
                return run.step("instead", lambda: "other")

        run = data_store.runs.start("run")
        assert program(run, fail) == "other"
        run.release()
        assert program(data_store.runs.resume("run"), lambda: "first") == "other"
        with pytest.raises(StepFailedError), data_store.runs.start("run 2") as run:
            run.step("first", fail)
        data_store.runs.retry("run 2")
        assert program(data_store.runs.resume("run 2"), lambda: "first") == "first"

    def test_steps_do_not_nest(self, data_store: AgentDataStore) -> None:
        """Their order would not be repeatable; the inner call is refused and nothing is lost."""
        run = data_store.runs.start("run")

        def nests() -> str:
            with pytest.raises(ReentrantCallError):
                run.step("inner", str)
            return "outer"

        assert run.step("outer", nests) == "outer"
        assert [one.name for one in run.history()] == ["outer"]

    def test_what_cannot_be_kept_is_an_error_of_the_step(self, data_store: AgentDataStore) -> None:
        """It names the result or the variable. The step can be asked for again."""
        run = data_store.runs.start("run")
        with pytest.raises(InvalidValueError, match="result is a set"):
            run.step("bad", set)
        with pytest.raises(ValueTooLargeError):
            run.step("large", lambda: "x" * 1_000_001)
        run.state["bad"] = object()
        with pytest.raises(InvalidValueError, match=r"state\['bad'\]"):
            run.step("state", str)
        del run.state["bad"]
        assert run.step("good", str) == ""
        assert run.number == 1

    # --------------------------------------------------------------------------------------------------- effects

    def test_an_effect_is_claimed_and_then_done(self, data_store: AgentDataStore) -> None:
        """Done is done, also if it failed."""
        run = data_store.runs.start("run")
        assert run.effect("pay", lambda amount: amount, 7) == 7
        with pytest.raises(StepFailedError):
            run.effect("bad", fail)
        run.release()
        run = data_store.runs.resume("run")
        assert run.effect("pay", fail, 7) == 7
        with pytest.raises(StepFailedError):
            run.effect("bad", int)
        assert [one.kind for one in run.history()] == ["claim", "effect", "claim", "effect", "resumed"]

    def test_an_effect_whose_worker_died_is_unknown(self, data_store: AgentDataStore, clock: Clock) -> None:
        """The program is asked what became of it; until somebody knows, it is not called again."""
        run = data_store.runs.start("run", lease=LEASE)

        def dies() -> None:
            raise KilledError

        with pytest.raises(KilledError):
            run.effect("pay", dies)
        run.release()
        run = data_store.runs.resume("run")
        with pytest.raises(EffectUnknownError) as error:
            run.effect("pay", int)
        assert error.value.effect == "pay"
        with pytest.raises(OSError, match="secret"):
            run.effect("pay", int, unknown=fail)
        run.release()
        assert data_store.runs.resume("run").effect("pay", fail, unknown=lambda: "it was") == "it was"

    # ----------------------------------------------------------------------------------------------- who has it

    def test_a_run_is_held_by_one_worker(self, data_store: AgentDataStore, store: DataStore, clock: Clock) -> None:
        """The other one is told who has it."""
        run = data_store.runs.start("run", lease=LEASE)
        with pytest.raises(LeaseHeldError) as error:
            store.agent("user_1", "other").runs.resume("run")
        assert error.value.holder == "agent_1"
        with pytest.raises(LeaseHeldError):
            data_store.runs.start("run")
        run.release()
        with pytest.raises(KeyExistsError):
            data_store.runs.start("run")
        assert store.agent("user_1", "other").runs.resume("run").id == "run"

    def test_a_block_that_ends_lets_the_run_go_however_it_ends(
        self, data_store: AgentDataStore, store: DataStore
    ) -> None:
        """Also if the program caught what stopped it, and if the run cannot be finished: others can go on at once."""
        other = store.agent("user_1", "other").runs
        with data_store.runs.start("cancelled") as run:
            data_store.runs.cancel("cancelled")
            with suppress(RunOverError):
                run.step("one", int)
        data_store.runs.retry("cancelled")
        other.resume("cancelled")
        with data_store.runs.start("changed") as second:
            second.step("one", int)
            second.release()
        with pytest.raises(RunChangedError), data_store.runs.resume("changed") as third:
            pass  # it does not ask for what the journal has
        other.resume("changed")
        with pytest.raises(InvalidValueError), data_store.runs.start("unstorable") as fourth:
            fourth.state["names"] = {"ann"}
        other.resume("unstorable")
        assert [one.id for one in (run, second, third, fourth)] == ["cancelled", "changed", "changed", "unstorable"]

    def test_a_program_that_fails_with_a_state_that_cannot_be_kept_has_failed(self, data_store: AgentDataStore) -> None:
        """The state is that of the last step, and the error is the program's."""
        with pytest.raises(OSError, match="gone"), data_store.runs.start("run") as run:
            run.state["kept"] = 1
            run.step("one", int)
            run.state["names"] = {"ann"}
            raise OSError("gone")
        info = data_store.runs.get("run")
        assert info is not None and (info.status, info.error) == ("failed", "OSError")
        data_store.runs.retry("run")
        with data_store.runs.resume("run") as again:
            again.step("one", fail)
            assert again.state == {"kept": 1}

    def test_whoever_lost_a_run_is_told_at_its_next_step(
        self, data_store: AgentDataStore, store: DataStore, clock: Clock
    ) -> None:
        """It writes nothing: not to the journal, and not to records that the next one wrote."""
        run = data_store.runs.start("run", lease=LEASE)
        run.step("one", int)
        run.data_store.set("key", "first")
        clock.advance(10 * LEASE)
        second = store.agent("user_1", "other").runs.resume("run", lease=LEASE)
        second.data_store.set("key", "second")
        with pytest.raises(LeaseLostError):
            run.step("two", int)
        with pytest.raises(LeaseLostError):
            run.data_store.set("key", "late")
        with pytest.raises(LeaseLostError):
            run.finish()
        second.step("one", fail)
        assert second.step("two", lambda: 2) == 2
        assert data_store.get("key") == "second"
        second.finish("end")
        assert data_store.runs.result("run") == "end"

    def test_of_workers_that_resume_at_once_one_goes_on(self, store: DataStore, open_store: Opener) -> None:
        """From several stores; the others are told."""
        stores = several(store, open_store)
        stores[0].runs.start("run").release()

        def resume(data_store: AgentDataStore) -> str:
            try:
                return str(data_store.runs.resume("run").step("who", lambda: data_store.agent))
            except (LeaseHeldError, LeaseLostError):
                return ""

        won = [one for one in race(*[lambda one=one: resume(one) for one in stores]) if one]
        assert len(won) == 1
        assert [one.agent for one in stores[0].runs.history("run")] == [won[0], won[0]]

    def test_of_workers_that_start_one_run_at_once_one_does(self, store: DataStore, open_store: Opener) -> None:
        """So a message that is delivered twice begins one run."""
        stores = several(store, open_store)

        def start(data_store: AgentDataStore) -> str:
            try:
                return str(data_store.runs.start("run", data_store.agent).input)
            except (LeaseHeldError, KeyExistsError):
                return ""

        won = [one for one in race(*[lambda one=one: start(one) for one in stores]) if one]
        assert len(won) == 1

    def test_a_run_whose_worker_died_is_due_when_its_lease_is_over(
        self, data_store: AgentDataStore, clock: Clock
    ) -> None:
        """Not before, and not while somebody holds it."""
        data_store.runs.start("run", lease=LEASE)
        assert data_store.runs.due() == []
        clock.advance(DEAD)
        assert data_store.runs.due() == ["run"]
        data_store.runs.resume("run", lease=10 * LEASE)
        assert data_store.runs.due() == []
        clock.advance(2 * LEASE)
        assert data_store.runs.due() == []

    # --------------------------------------------------------------------------------------------------- waiting

    def test_a_run_that_waits_is_let_go_and_goes_on_with_the_answer(
        self, data_store: AgentDataStore, store: DataStore, clock: Clock
    ) -> None:
        """The block ends quietly, the worker is free, and any other goes on when it is due."""
        with data_store.runs.start("run") as run:
            run.step("ask", int)
            run.wait_for("approval", timeout="21d")
            raise AssertionError("it does not come here")
        info = data_store.runs.get("run")
        assert info is not None
        assert (info.status, info.waiting_for, data_store.runs.due()) == ("waiting", "approval", [])
        assert data_store.runs.signal("run", "approval", {"by": "ann"}) is True
        assert data_store.runs.due() == ["run"]
        other = store.agent("user_1", "other")
        with other.runs.resume("run") as run:
            run.step("ask", fail)
            run.finish(run.wait_for("approval", timeout="21d"))
        assert data_store.runs.result("run") == {"by": "ann"}
        assert data_store.runs.due() == []

    def test_the_first_answer_wins(self, data_store: AgentDataStore, store: DataStore, open_store: Opener) -> None:
        """Of many that answer at once, and after that."""
        stores = several(store, open_store)
        agents = [one.use_namespace("default") for one in stores]
        agents[0].runs.start("run").release()
        said = race(*[lambda one=one: one.runs.signal("run", "go", one.agent) for one in agents])
        assert sorted(said) == [False, False, True]
        assert agents[0].runs.signal("run", "go", "late") is False
        assert agents[0].runs.resume("run").wait_for("go") == agents[said.index(True)].agent

    def test_an_answer_before_the_question_counts(self, data_store: AgentDataStore) -> None:
        """A name is one question: asked again, it has the same answer."""
        run = data_store.runs.start("run")
        data_store.runs.signal("run", "go", None)
        data_store.runs.signal("run", "stop", 2)
        assert (run.wait_for("go"), run.wait_for("stop"), run.wait_for("go")) == (None, 2, None)

    def test_nobody_answers_in_time(self, data_store: AgentDataStore, clock: Clock) -> None:
        """Of answer and timeout one is first; the program catches the error, and on resume it comes again."""
        with data_store.runs.start("run") as run:
            run.wait_for("approval", timeout=timedelta(hours=1))
        clock.advance(3_500)
        assert data_store.runs.due() == []
        clock.advance(200)
        assert data_store.runs.due() == ["run"]
        for _ in range(2):
            run = data_store.runs.resume("run")
            with pytest.raises(AnswerTimeoutError):
                run.wait_for("approval", timeout=timedelta(hours=1))
            run.release()
        assert data_store.runs.signal("run", "approval") is False

    def test_resuming_without_an_answer_waits_again_until_the_same_time(
        self, data_store: AgentDataStore, clock: Clock
    ) -> None:
        """The time is that of the first question."""
        for attempt in range(3):
            with data_store.runs.resume("run") if attempt else data_store.runs.start("run") as run:
                run.wait_for("approval", timeout="1h")
            clock.advance(1_000)
        assert data_store.runs.due() == []
        clock.advance(1_000)
        assert data_store.runs.due() == ["run"]

    def test_what_is_due_is_named_up_to_a_limit(self, data_store: AgentDataStore, clock: Clock) -> None:
        """Each run once."""
        for number in range(4):
            with data_store.runs.start(f"run {number}") as run:
                run.wait_for("go", timeout=100 + number)
            data_store.runs.signal(f"run {number}", "go")
        clock.advance(1_000)
        assert data_store.runs.due() == [f"run {number}" for number in range(4)]
        assert data_store.runs.due(2) == ["run 0", "run 1"]

    def test_hints_that_lead_nowhere_are_removed(
        self, data_store: AgentDataStore, store: DataStore, clock: Clock
    ) -> None:
        """When they are an hour old."""
        with data_store.runs.start("run"):
            data_store.runs.signal("run", "nobody asks")
        assert data_store.runs.due() == []
        clock.advance(4_000)
        assert data_store.runs.due() == []
        assert [key for key in keys_of(store) if key.startswith("w/")] == []

    # -------------------------------------------------------------------------------------- branches and forks

    def test_branches_share_what_was_and_are_joined(self, data_store: AgentDataStore, store: DataStore) -> None:
        """Any worker goes on with a branch; it has the parent's results and state without a call."""
        world = World()

        def program(run: Run) -> Any:
            run.state["plan"] = run.step("plan", world.fetch, 1)
            branch = run.branch(3)
            if branch.index is not None:
                return run.step("try", world.attempt, branch.index) + run.state["plan"][1]
            return run.join(branch.children)

        with data_store.runs.start("run", "input") as run:
            run.finish(program(run))
        due = data_store.runs.due()
        assert due == ["run~2.0", "run~2.1", "run~2.2"]
        for one in due:
            with data_store.runs.resume(one) as run:
                assert run.input == "input"
                run.finish(program(run))
        assert data_store.runs.due() == ["run"]
        with data_store.runs.resume("run") as run:
            run.finish(program(run))
        assert data_store.runs.result("run") == [1, 11, 21]
        assert world.fetched == [1]
        assert [one.name for one in data_store.runs.history("run~2.1")] == ["plan", "", "", "try", ""]
        assert data_store.runs.due() == []
        assert [key for key in keys_of(store) if key.startswith("w/")] == []

    def test_branches_branch(self, data_store: AgentDataStore) -> None:
        """Each level knows which it is."""

        def program(run: Run) -> Any:
            outer = run.branch(2)
            if outer.index is None:
                return run.join(outer.children)
            inner = run.branch(2)
            if inner.index is None:
                return run.join(inner.children)
            return run.step("leaf", lambda: [outer.index, inner.index])

        with data_store.runs.start("run") as run:
            run.finish(program(run))
        while due := data_store.runs.due():
            for one in due:
                with data_store.runs.resume(one) as run:
                    run.finish(program(run))
        assert data_store.runs.result("run") == [[[0, 0], [0, 1]], [[1, 0], [1, 1]]]

    def test_a_branch_whose_children_cannot_have_names_is_refused(self, data_store: AgentDataStore) -> None:
        """Nothing is written, so the run goes on."""
        id = "r" * 199
        with data_store.runs.start(id) as run:
            with pytest.raises(InvalidNameError):
                run.branch(2)
            assert run.step("next", lambda: 1) == 1
            run.finish()
        assert [one.kind for one in data_store.runs.history(id)] == ["step", "end"]

    def test_a_branch_that_fails(self, data_store: AgentDataStore) -> None:
        """`join` raises for it, or has ``None`` in its place."""

        def program(run: Run, **options: Any) -> Any:
            branch = run.branch(2)
            if branch.index is not None:
                return run.step("try", fail if branch.index else int)
            return run.join(branch.children, **options)

        with data_store.runs.start("run") as run:
            program(run)
        for one in data_store.runs.due():
            with suppress(StepFailedError), data_store.runs.resume(one) as run:
                run.finish(program(run))
        run = data_store.runs.resume("run")
        with pytest.raises(StepFailedError, match=r"run~1\.1"):
            program(run)
        run.release()
        assert program(data_store.runs.resume("run"), raises=False) == [0, None]

    def test_a_fork_goes_its_own_way(self, data_store: AgentDataStore) -> None:
        """From a step on, from within the run or from outside, also when it is over."""
        with data_store.runs.start("run") as run:
            for number in range(3):
                run.state["n"] = number
                run.step(f"step {number}", lambda number=number: number)
            inside = run.fork(at=1)
            run.finish("end")
        outside = data_store.runs.fork("run", at=2, new_id="other")
        assert sorted(data_store.runs.due()) == sorted([inside, "other"])
        run = data_store.runs.resume(outside)
        assert [run.step("step 0", fail), run.step("step 1", fail), run.state["n"]] == [0, 1, 1]
        assert run.step("new", lambda: "new") == "new"
        run.finish()
        with data_store.runs.resume(inside) as run:
            assert (run.step("step 0", fail), run.step("else", int)) == (0, 0)
        info = data_store.runs.get("other")
        assert info is not None
        assert (info.parent, info.status) == ("run", "done")
        with pytest.raises(KeyExistsError):
            data_store.runs.fork("run", at=1, new_id="other")
        with pytest.raises(InvalidValueError):
            data_store.runs.fork("run", at=99)

    def test_a_checkpoint_is_where_a_resume_begins(self, data_store: AgentDataStore) -> None:
        """With the state as it was, and without the steps before; forks from after it begin there, too."""
        run = data_store.runs.start("run")
        run.state.update(page=0, found=["a"])
        for _ in range(5):
            run.step("fetch", int)
            run.state["page"] += 1
            assert run.checkpoint(every=4) is (run.state["page"] == 4)
        run.step("last", int)
        fork = run.fork()
        run.release()
        for id in ("run", fork):
            run = data_store.runs.resume(id)
            assert dict(run.state) == {"page": 4, "found": ["a"]}
            run.step("fetch", fail)
            run.state["page"] += 1
            assert run.checkpoint(every=4) is False
            run.step("last", fail)
            assert dict(run.state) == {"page": 5, "found": ["a"]}
            run.release()

    # -------------------------------------------------------------------------------------------------- the end

    def test_how_a_run_ends(self, data_store: AgentDataStore) -> None:
        """The end of the block, `finish`, an error of the program; and what is no end."""
        with data_store.runs.start("none"):
            pass
        with data_store.runs.start("result") as run:
            run.finish({"a": 1})
        with pytest.raises(ZeroDivisionError), data_store.runs.start("error"):
            1 / 0  # noqa: B018 - it raises
        with pytest.raises(BackendUnavailableError), data_store.runs.start("down"):
            raise BackendUnavailableError("gone")
        with pytest.raises(KilledError), data_store.runs.start("killed"):
            raise KilledError
        found = {one.id: (one.status, one.error) for one in data_store.runs.list()}
        assert found == {
            "none": ("done", None),
            "result": ("done", None),
            "error": ("failed", "ZeroDivisionError"),
            "down": ("running", None),
            "killed": ("running", None),
        }
        assert [data_store.runs.result("none"), data_store.runs.result("result")] == [None, {"a": 1}]
        assert [one.id for one in data_store.runs.list("running")] == ["down", "killed"]
        assert [one.id for one in data_store.runs.list(limit=2)] == ["down", "error"]
        with pytest.raises(RunOverError) as error:
            data_store.runs.resume("error")
        assert error.value.status == "failed"
        with pytest.raises(RunOverError):
            data_store.runs.result("error")
        with pytest.raises(InvalidValueError):
            data_store.runs.result("down")

    def test_a_run_is_cancelled_while_somebody_works_on_it(self, data_store: AgentDataStore) -> None:
        """The worker is told at its next step; `retry` lets the run go on."""
        run = data_store.runs.start("run")
        run.step("one", int)
        data_store.runs.cancel("run")
        with pytest.raises(RunOverError) as error:
            run.step("two", int)
        assert error.value.status == "cancelled"
        with pytest.raises(RunOverError):
            data_store.runs.cancel("run")
        run.release()
        data_store.runs.retry("run")
        assert data_store.runs.due() == ["run"]
        with pytest.raises(RunOverError):
            data_store.runs.retry("run")
        with data_store.runs.resume("run") as run:
            assert [run.step("one", fail), run.step("two", int)] == [0, 0]
        with pytest.raises(RunOverError):
            data_store.runs.retry("run")

    def test_history_tells_every_step(self, data_store: AgentDataStore) -> None:
        """Who, when, how long, how many bytes; from either end."""
        run = data_store.runs.start("run")
        for number in range(5):
            run.step(f"step {number}", lambda: "x" * 100)
        run.release()
        history = data_store.runs.history("run")
        assert [one.number for one in history] == [1, 2, 3, 4, 5]
        assert all(one.agent == "agent_1" and one.seconds is not None and one.bytes > 100 for one in history)
        assert [one.at for one in history] == sorted(one.at for one in history)
        assert [one.number for one in data_store.runs.history("run", limit=2, reverse=True)] == [5, 4]
        assert [one.number for one in data_store.runs.history("run", limit=2, reverse=True, before=4)] == [3, 2]
        assert [one.number for one in data_store.runs.history("run", limit=2)] == [1, 2]

    def test_pruning_removes_what_nobody_needs(
        self, data_store: AgentDataStore, store: DataStore, clock: Clock
    ) -> None:
        """All of it, by age or by the run's own ttl; what is not over stays."""
        with data_store.runs.start("old") as run:
            run.step("one", int)
            data_store.runs.signal("old", "a")
        with data_store.runs.start("short", ttl=100):
            pass
        data_store.runs.start("running", lease=LEASE)
        assert data_store.runs.prune() == 0
        clock.advance(3_000)
        assert data_store.runs.prune() == 1
        assert data_store.runs.prune(keep=4_000) == 0
        assert data_store.runs.prune(keep=timedelta(minutes=1), limit=1) == 1
        assert [one.id for one in data_store.runs.list()] == ["running"]
        clock.advance(4_000)
        data_store.runs.due()
        assert {key.split("/")[1] for key in keys_of(store) if key[0] != "w"} == {"running"}
        with pytest.raises(NoSuchRunError):
            data_store.runs.history("old")

    def test_lists_of_a_status_have_what_has_it(
        self, data_store: AgentDataStore, store: DataStore, clock: Clock
    ) -> None:
        """Through every change of it; a limit counts those that are returned."""
        runs = data_store.runs
        seen = set[str]()

        def check(status: str) -> None:
            assert listed(data_store) == told(data_store)
            assert "run" in [one.id for one in runs.list(status)]
            seen.add(status)

        for other in ("a", "b", "c"):
            runs.start(other, lease=LEASE)
        with runs.start("run") as run:
            check("running")
            run.wait_for("one", timeout="1h")
        check("waiting")
        runs.signal("run", "one")
        with runs.resume("run") as run:
            run.wait_for("one")
            check("running")
            run.wait_for("two")
        runs.cancel("run")
        check("cancelled")
        runs.signal("run", "two")
        runs.retry("run")
        check("running")
        with suppress(OSError), runs.resume("run") as run:
            run.wait_for("one")
            run.wait_for("two")
            fail()
        check("failed")
        runs.retry("run")
        with runs.resume("run") as run:
            run.wait_for("one")
            run.wait_for("two")
            run.checkpoint()
            (child,) = run.branch(1).children
            assert child in [one.id for one in runs.list("running")]
        check("done")
        assert seen == set(STATUSES)
        assert [one.id for one in runs.list("running", limit=2)] == ["a", "b"]
        runs.cancel(child)
        assert runs.prune(keep=0) + runs.prune(keep=0) == 2
        assert {key for key in keys_of(store) if key[0] == "l"} == {f"l/running/{one}" for one in "abc"}

    def test_pruning_removes_what_is_before_a_checkpoint(
        self, data_store: AgentDataStore, store: DataStore, clock: Clock
    ) -> None:
        """The last one that is old enough: a resume begins there, and the state is as it was."""
        runs = data_store.runs
        run = runs.start("run", "input")
        run.state["n"] = 0
        for number in range(1, 10):
            run.state["n"] = number
            run.step("step", int)
            if number in (5, 9):
                run.checkpoint()  # entries 6 and 12, with the fork
            if number == 5:
                early = run.fork(at=3)
                clock.advance(100)
        kept = [one.number for one in runs.history("run")]
        assert runs.prune(keep=1_000) == 0
        assert [one.number for one in runs.history("run")] == kept
        clock.advance(1_000)
        assert runs.prune(keep=1_050) == 0
        assert [one.number for one in runs.history("run")] == kept, "a fork needs the first three"
        with runs.resume(early) as child:
            assert [child.step("step", fail) for _ in range(3)] == [0, 0, 0]
            assert child.state["n"] == 3
        runs.prune(keep=0)
        assert runs.get(early) is None
        runs.prune(keep=0)
        assert [one.number for one in runs.history("run")] == [one for one in kept if one >= 12]
        assert not [key for key in keys_of(store) if key[0] == "k"]
        run.step("more", int)
        run.release()
        with pytest.raises(InvalidValueError, match="pruned"):
            runs.fork("run", at=5)
        late = runs.fork("run", at=13)
        for id in ("run", late):
            with runs.resume(id) as run:
                assert (run.input, dict(run.state)) == ("input", {"n": 9})
                assert run.step("more", fail) == 0
                assert run.step("last", int) == 0
        assert {one.id for one in runs.list("done")} == {"run", late}

    def test_pruning_never_breaks_a_fork_or_a_join(self, data_store: AgentDataStore, store: DataStore) -> None:
        """A parent stays for as long as a child has its beginning there; a branch until its parent is over."""

        def program(run: Run) -> Any:
            run.step("one", int)
            branch = run.branch(1)
            return "branch" if branch.index is not None else run.join(branch.children)

        with data_store.runs.start("run") as run:
            program(run)
        with data_store.runs.resume("run~2.0") as run:
            run.finish(program(run))
        assert data_store.runs.prune(keep=0) == 0, "the parent may yet join"
        with data_store.runs.resume("run") as run:
            run.finish(program(run))
        fork = data_store.runs.fork(data_store.runs.fork("run", at=1, new_id="child"), at=1, new_id="grandchild")
        assert data_store.runs.prune(keep=0) == 1, "the branch; others need the parent"
        with data_store.runs.resume(fork) as run:
            assert run.step("one", fail) == 0
        with data_store.runs.resume("child") as run:
            assert run.step("one", fail) == 0
        assert data_store.runs.prune(keep=0) + data_store.runs.prune(keep=0) == 3
        assert data_store.runs.list() == []
        assert [key for key in keys_of(store) if key[0] != "w"] == []

    # ----------------------------------------------------------------------------------------------- in all weathers

    @pytest.mark.parametrize("after", [False, True])
    def test_a_crash_at_a_write_leaves_what_others_go_on_with(
        self, data_store: AgentDataStore, wrapped: Wrapper, clock: Clock, after: bool
    ) -> None:
        """At some writes here; the tests of the package go through all of them."""
        for write in (0, 3, 7, 11, 17, 23):
            assert crash_at(data_store, wrapped, clock, write, after=after, id=f"run {write}")

    def test_a_lost_answer_does_nothing_twice(self, wrapped: Wrapper) -> None:
        """The entry recognises itself when it is sent again."""
        backends = list[LosesAnswers]()

        def loses(inner: Any) -> LosesAnswers:
            backends.append(LosesAnswers(inner))
            return backends[0]

        data_store = wrapped(loses).agent("user_1", "agent_1")
        run = data_store.runs.start("run")
        for number in range(3):
            backends[0].lost = 1
            assert run.step("step", lambda number=number: number) == number
        backends[0].lost = 1
        run.finish()
        assert [one.kind for one in data_store.runs.history("run")] == ["step", "step", "step", "end"]

    def test_a_step_that_could_not_be_written_ends_the_work_on_the_run(
        self, data_store: AgentDataStore, wrapped: Wrapper
    ) -> None:
        """Nobody knows whether it is written: whoever resumes the run sees what is there."""
        backends = list[_Down]()

        def down(inner: Any) -> _Down:
            backends.append(_Down(inner))
            return backends[0]

        run = wrapped(down, retry_seconds=0).agent("user_1", "agent_1").runs.start("run")
        backends[0].is_down = True
        with pytest.raises(BackendUnavailableError):
            run.step("one", lambda: 1)
        backends[0].is_down = False
        with pytest.raises(BackendUnavailableError):
            run.step("two", lambda: 2)
        run.release()
        assert data_store.runs.resume("run").step("one", lambda: "again") in (1, "again")

    def test_bad_arguments_are_refused_before_any_request(self, wrapped: Wrapper) -> None:
        """The message names the parameter."""
        runs = wrapped(Untouchable).agent("user_1", "agent_1").runs
        for call, error, named in (
            (lambda: runs.start(""), InvalidNameError, "id"),
            (lambda: runs.start("x" * 201), InvalidNameError, "id"),
            (lambda: runs.start("run", {1}), InvalidValueError, "input"),
            (lambda: runs.start("run", ttl=0), InvalidValueError, "ttl"),
            (lambda: runs.start("run", lease=-1), InvalidValueError, "ttl|lease"),
            (lambda: runs.resume(7), InvalidNameError, "id"),  # type: ignore[arg-type]  # that is the test
            (lambda: runs.signal("run", "x" * 201), InvalidNameError, "name"),
            (lambda: runs.signal("run", "go", object()), InvalidValueError, "payload"),
            (lambda: runs.list("gone"), InvalidValueError, "status"),
            (lambda: runs.list(limit=0), QueryError, "limit"),
            (lambda: runs.due(0), QueryError, "limit"),
            (lambda: runs.prune(keep=-1), InvalidValueError, "keep"),
            (lambda: runs.fork("run", at=0, new_id=""), InvalidNameError, "new_id"),
        ):
            with pytest.raises(error, match=named):
                call()

    def test_bad_arguments_of_a_run(self, data_store: AgentDataStore) -> None:
        """Nothing is written."""
        run = data_store.runs.start("run")
        for call, error in (
            (lambda: run.step("", int), InvalidNameError),
            (lambda: run.step("a", 7), InvalidValueError),  # type: ignore[arg-type]  # that is the test
            (lambda: run.step("a", int, retries=-1), InvalidValueError),
            (lambda: run.step("a", int, backoff=-1), InvalidValueError),
            (lambda: run.effect("a", int, unknown=7), InvalidValueError),  # type: ignore[arg-type]  # as above
            (lambda: run.wait_for(""), InvalidNameError),
            (lambda: run.wait_for("a", timeout="soon"), InvalidValueError),
            (lambda: run.wait_for("a", timeout=0), InvalidValueError),
            (lambda: run.branch(0), InvalidValueError),
            (lambda: run.fork(at=5), InvalidValueError),
            (lambda: run.join("run"), InvalidValueError),
            (lambda: run.join(["nobody"]), InvalidValueError),
            (lambda: run.checkpoint(0), InvalidValueError),
        ):
            with pytest.raises(error):
                call()
        assert run.number == 0
        for missing in (data_store.runs.resume, data_store.runs.cancel, data_store.runs.history):
            with pytest.raises(NoSuchRunError):
                missing("nobody")
        with pytest.raises(NoSuchRunError):
            data_store.runs.signal("nobody", "go")
        assert data_store.runs.get("nobody") is None

    def test_runs_are_of_a_namespace_and_hidden_from_its_records(
        self, data_store: AgentDataStore, store: DataStore
    ) -> None:
        """No listing shows them, and no other user or namespace has them."""
        data_store.runs.start("run:/%é").step("one", int)
        assert data_store.list_keys() == []
        assert data_store.list_namespaces() == []
        assert data_store.use_namespace("other").runs.list() == []
        assert store.agent("user_2", "agent_1").runs.list() == []
        assert [one.id for one in data_store.runs.list()] == ["run:/%é"]
        assert data_store.clear() == 0
        assert len(data_store.runs.history("run:/%é")) == 1

    @pytest.mark.parametrize("act", WRITES.values(), ids=WRITES.keys())
    def test_whoever_may_only_read_is_refused_before_a_run_is_looked_for(
        self, wrapped: Wrapper, act: Callable[[Any], object]
    ) -> None:
        """It is told that it may not write, whether or not there is such a run."""
        reader = wrapped(Untouchable).agent("user_1", "reader", grants={"default": "read"})
        with pytest.raises(PermissionDeniedError, match="no grant to write"):
            act(reader.runs)

    def test_grants_and_quotas_hold_for_runs(self, store: DataStore) -> None:
        """Who may read sees them; who may write works on them, within the quota."""
        store.agent("user_1", "host").runs.start("run").release()
        reader = store.agent("user_1", "reader", grants={"default": "read"}).runs
        assert [one.id for one in reader.list()] == ["run"]
        assert reader.due() == []
        for call in (lambda: reader.start("new"), lambda: reader.resume("run"), lambda: reader.cancel("run"),
                     lambda: reader.signal("run", "go"), lambda: reader.prune(keep=0)):  # fmt: skip
            with pytest.raises(PermissionDeniedError):
                call()
        with pytest.raises(PermissionDeniedError):
            store.agent("user_1", "nobody", grants={"other": "write"}).runs.list()
        run = store.agent("user_1", "small", quota=Quota(bytes=5_000)).runs.start("small")
        with pytest.raises(QuotaExceededError):
            run.step("large", lambda: "x" * 10_000)


class _Down(Wrapped):
    """Is down for as long as it is told to be."""

    is_down = False

    def write(self, writes: Sequence[Write]) -> list[Outcome]:
        if self.is_down:
            raise BackendUnavailableError("the connection was refused")
        return super().write(writes)


def listed(data_store: AgentDataStore) -> dict[str, list[str]]:
    """Return the ids that the list of each status has."""
    return {status: [one.id for one in data_store.runs.list(status)] for status in STATUSES}


def told(data_store: AgentDataStore) -> dict[str, list[str]]:
    """Return the same, as the list of all runs tells it."""
    runs = data_store.runs.list()
    return {status: [one.id for one in runs if one.status == status] for status in STATUSES}


def keys_of(store: DataStore) -> list[str]:
    """Return the keys of all that is kept for the runs of the namespace that the tests work in."""
    return AgentDataStore(scope_of(store.host("user_1")).area("runs")).list_keys()
