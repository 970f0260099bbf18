"""What the docstrings of leases, runs and logs say of requests, as the tests of each server count it at the transport.

Each call is made where the docstring's plain number holds: nobody else is at work, and what is asked for fits into one
page or batch. ``Requests: 3.`` is then the most that is counted. That of blobs is in `tests.adapters.blobs`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from datastore import AgentDataStore, Lease, Log, Run, Runs
from datastore.errors import RunWaitingError

Count = Callable[[Callable[[], object]], int]
"""Makes a call, and returns how many requests that took."""


def stated(call: Any) -> int:
    """Return the first number of requests in the docstring of a call."""
    found = re.search(r"Requests: (\d+)", call.__doc__ or "")
    assert found is not None, call
    return int(found[1])


def counted(agent: AgentDataStore, other: AgentDataStore, count: Count) -> dict[str, tuple[int, int]]:
    """Return of each call how many requests are counted, and how many at most its docstring says that there are.

    Args:
        agent: The agent whose requests are counted.
        other: The same agent in another process, as far as what is remembered goes.
        count: Counts them.
    """
    found: dict[str, tuple[int, int]] = {}
    runs, log, kept = agent.runs, agent.log("events"), list[Any]()

    def take(name: str, most: int, call: Callable[[], object]) -> None:
        found[name] = count(call), most

    take("lease", stated(AgentDataStore.lease), lambda: kept.append(agent.lease("work", renew=False)))
    lease = kept.pop()
    take("renew", stated(Lease.renew), lease.renew)
    take("release", stated(Lease.release), lease.release)

    take("log.append, end unknown", stated(AgentDataStore.log_append) + 1, lambda: log.append(1))
    take("log.append", stated(Log.append), lambda: log.append(2, 3))
    take("log.read", stated(Log.read), log.read)
    take("log.last", stated(Log.last), log.last)
    take("log.read, nothing new", stated(Log.read), lambda: log.read(after=3))

    take("start", stated(Runs.start), lambda: kept.append(runs.start("run")))
    run: Run = kept.pop()
    take("step", stated(Run.step), lambda: run.step("step", int))
    take("effect", stated(Run.effect), lambda: run.effect("effect", int))
    take("checkpoint", stated(Run.checkpoint), run.checkpoint)
    take("checkpoint, not yet", 0, lambda: run.checkpoint(every=10))
    take("fork", stated(Run.fork), lambda: run.fork(id="fork"))
    take("branch", stated(Run.branch) + 1, lambda: kept.append(run.branch(2)))

    def wait() -> None:
        with suppress(RunWaitingError):
            run.wait_for("answer")

    take("wait_for, no answer", 6, wait)
    take("due, nothing that may go on but the fork and the branches", stated(Runs.due) + 1, runs.due)
    take("signal", stated(Runs.signal), lambda: runs.signal("run", "answer", 7))
    take("get", stated(Runs.get), lambda: runs.get("run"))
    take("list", stated(Runs.list), runs.list)
    take("list of a status", stated(Runs.list) + 1, lambda: runs.list("waiting"))
    take("history", stated(Runs.history) + 1, lambda: runs.history("run", limit=3, reverse=True))
    take("resume", stated(Runs.resume) + 1, lambda: kept.append(runs.resume("run")))
    run = kept.pop()
    assert [run.fork(), len(run.branch(2).children)] == ["fork", 2]
    take("wait_for, answered", 3, lambda: run.wait_for("answer"))
    take("finish", stated(Run.finish), lambda: run.finish("result"))
    take("result", stated(Runs.result), lambda: runs.result("run"))
    take("fork from outside", stated(Runs.fork), lambda: runs.fork("run", at=1, new_id="outside"))
    take("cancel", stated(Runs.cancel), lambda: runs.cancel("outside"))
    take("retry", stated(Runs.retry), lambda: runs.retry("outside"))
    run = runs.resume("outside")
    take("release of a run", stated(Run.release), run.release)

    other.runs.start("parent").release()
    parent = runs.resume("parent")
    children = parent.branch(1).children

    def join() -> None:
        with suppress(RunWaitingError):
            parent.join(children)

    take("join, to wait", 5 + 1, join)
    with runs.resume(children[0]) as child:
        child.branch(1)
    parent = runs.resume("parent")
    parent.branch(1)
    take("join", stated(Run.join), lambda: parent.join(children))
    parent.finish()
    runs.cancel("outside")
    take("prune of nothing", stated(Runs.prune), runs.prune)
    take("prune of nothing with keep", 3 * stated(Runs.prune), lambda: runs.prune(keep=3_600))
    return found


def beyond(agent: AgentDataStore, other: AgentDataStore, count: Count) -> dict[str, tuple[int, int]]:
    """Return those of `counted` that take more requests of this database than the docstring says."""
    return {name: one for name, one in counted(agent, other, count).items() if one[0] > one[1]}
