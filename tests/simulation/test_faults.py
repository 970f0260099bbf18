"""Each fault that stores of this kind have had is found by a seed, and told in a few steps; the guide has them all."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pytest

from datastore.conformance.simulation.databases import Database
from tests.full import times
from tests.simulation import (
    around_faulty,
    awaited_faulty,
    dynamodb_faulty,
    faulty,
    firestore_faulty,
    memory_faulty,
    own_faulty,
    redis_faulty,
    served_faulty,
)
from tests.simulation.playing import BACKENDS, draw, play, shrunk
from tests.simulation.tokens import TokenDatabase

GUIDE = Path(__file__).parents[2] / "docs" / "contributing" / "simulation.md"

MOST_RUNS, MOST_STEPS = 10_000, 12
"""So many runs it takes at most to find a fault, and so many calls and faults are left of the run."""

FAULTY: dict[tuple[str, str], Callable[[], Database]] = {
    **{("token", name): partial(TokenDatabase, adapter) for name, adapter in faulty.FAULTY.items()},
    **{("token", name): partial(TokenDatabase, adapter) for name, adapter in around_faulty.FAULTY.items()},
    **{
        (next(one for one in BACKENDS if BACKENDS[one] is database), name): partial(database, adapter)
        for name, (database, adapter) in own_faulty.FAULTY.items()
    },
    **{("memory", name): database for name, database in memory_faulty.FAULTY.items()},
    **{("dynamodb", name): database for name, database in dynamodb_faulty.FAULTY.items()},
    **{("firestore", name): database for name, database in firestore_faulty.FAULTY.items()},
    **{("redis", name): database for name, database in redis_faulty.FAULTY.items()},
    **{("served", name): database for name, database in served_faulty.FAULTY.items()},
    **{("awaited", name): database for name, database in awaited_faulty.FAULTY.items()},
}
"""The databases that have one fault each, by the backend and the fault."""


class Find(NamedTuple):
    """How a fault is found: a row of the guide's table."""

    told: str
    """What the guide calls it."""
    seed: int
    """The first one, counted from 0, whose run goes wrong and is made as small as `MOST_STEPS`."""
    steps: int
    """How many calls and faults are left."""


# After a change of what is drawn, `python -m tests.simulation.table` finds the numbers anew.
FINDS = {
    ("token", "stale memory decides"): Find("What is remembered of a record decides whether a condition holds", 65, 4),
    ("token", "a lost answer counted twice"): Find(
        "A count of accesses whose answer was lost is sent again with another mark", 48, 3
    ),
    ("token", "a repeated delete"): Find("A delete that is sent again forgets that it was sent before", 6, 5),
    ("token", "clear repeated"): Find("A `clear` whose answer was lost is done again from the beginning", 152, 3),
    ("token", "counting revives"): Find("Counting the accesses of a deleted record creates it", 146, 5),
    ("token", "reads of expired"): Find("Expired records are read", 3, 1),
    ("token", "one write remembered"): Find("A record remembers its last write alone", 271, 5),
    ("token", "an outage for done"): Find("A write that was not answered counts as done", 1, 3),
    ("token", "an outage for missing"): Find("A record that cannot be read counts as missing", 1, 3),
    ("token", "checked, then written"): Find(
        "The version is checked in one request, and the document written in another", 256, 4
    ),
    ("token", "a lease without fencing"): Find("A write carries no lease's number: a lease without fencing", 626, 5),
    ("token", "a lease for two"): Find("Two who find a lease free both get it", 87, 2),
    ("token", "a log entry written over"): Find("An entry of a log is written over another one", 37, 3),
    ("token", "a step kept again"): Find("A worker that has lost its run writes over what the next one has kept", 9, 3),
    ("token", "a blob without its parts"): Find("A batch that failed counts as done, so a blob lacks parts", 1510, 2),
    ("token", "a change of vectors written over"): Find(
        "Two who add texts write one number of the list of changes over the other's", 625, 7
    ),
    ("token", "a text without its vector"): Find("A vector that was not written counts as written", 95, 2),
    ("memory", "found by what it was"): Find("A text that was replaced is found by the vector that it had", 12, 3),
    ("memory", "nothing is new"): Find("A search does not look whether others have added anything", 283, 7),
    ("memory", "it follows anything"): Find(
        "Who adds a text takes its own for the last change, though another one came in between", 283, 7
    ),
    ("memory", "each part is found"): Find("A text is found once for each of its parts", 12, 1),
    ("memory", "the first part is shown"): Find("A search shows the first part of a text, not the nearest", 12, 1),
    ("memory", "numbers by counting"): Find("The number of an item of a vector vault is how many there are", 31, 3),
    ("memory", "all is made"): Find("Items of a vector vault count as having vectors, and have none", 31, 2),
    ("couchdb", "an answer cut short"): Find("A listing that was cut short is taken for the whole", 6, 3),
    ("couchdb", "no mark of a deletion"): Find(
        "A record that is gone was removed by this delete, whatever its tombstone says", 770, 7
    ),
    ("sqlite", "BEGIN outside its try"): Find(
        "`BEGIN` is outside its `try`, so an interrupt leaves a transaction open", 0, 1
    ),
    ("sqlite", "a full disk for done"): Find("A write that found the disk full counts as done", 1, 2),
    ("sqlite", "nothing is synced"): Find("Nothing is synced, although `synchronous=full` was asked for", 0, 4),
    ("dynamodb", "a part reaped before its head"): Find(
        "Parts of a value expire some seconds before their record: a part reaped before its head", 314, 2
    ),
    ("dynamodb", "an answer cut short taken"): Find("An answer that was cut short is taken for an empty one", 1, 6),
    ("dynamodb", "a lost answer counted twice"): Find(
        "A count of accesses whose answer was lost is sent again with another mark", 63, 3
    ),
    ("dynamodb", "counting revives"): Find("Counting the accesses of a deleted record creates it", 8, 5),
    ("dynamodb", "what is unprocessed is dropped"): Find("What a batch leaves unprocessed is dropped", 3, 3),
    ("dynamodb", "a write is not recognised"): Find("A write does not recognise itself in the record", 3656, 4),
    ("dynamodb", "a page is taken for all"): Find("The first page of a listing is taken for all of it", 0, 2),
    ("dynamodb", "a write replaces what has expired since"): Find(
        "A write that needs a live record writes over an expired one", 424, 2
    ),
    ("firestore", "a stream cut short taken"): Find("A stream that was cut short is taken for a complete one", 222, 5),
    ("firestore", "a lost answer counted twice"): Find(
        "A count of accesses whose answer was lost is sent again with another mark", 1, 7
    ),
    ("firestore", "counting revives"): Find("Counting the accesses of a deleted record creates it", 286, 5),
    ("firestore", "a write without its condition"): Find("A write is sent without its precondition", 0, 3),
    ("firestore", "a batch taken for done"): Find("All writes of a batch are taken for done", 22, 3),
    ("firestore", "a delete that does not look"): Find(
        "A delete says that there was a record without having looked", 0, 1
    ),
    ("redis", "a lost answer counted twice"): Find(
        "A count of accesses whose answer was lost is sent again, and the script does not look for its mark", 77, 7
    ),
    ("redis", "counting revives"): Find("Counting the accesses of a deleted record creates it", 44, 5),
    ("redis", "a write over any token"): Find("A write is carried out whatever token the record has", 94, 9),
    ("redis", "an id listed twice"): Find(
        "The id of a record stays in the sorted set as it was, beside the one with a new expiry", 0, 7
    ),
    ("redis", "an end that stays"): Find("A write without a `ttl` leaves the expiry that the record had", 22, 2),
    ("redis", "what has expired is counted"): Find(
        "The sorted set of what expires is not subtracted from a count", 79, 2
    ),
    ("redis", "a refusal for done"): Find(
        "A write that was refused for want of memory, or by a replica, counts as done", 2, 4
    ),
    ("redis", "a connection kept"): Find("A connection is kept whose answers nobody has read", 5, 6),
    ("redis", "scripts are not sent again"): Find(
        "A server that has forgotten its scripts is not sent them again", 3, 3
    ),
    ("redis", "gone by the server's clock"): Find(
        "Redis removes a record at a time of its own clock (`PEXPIREAT`)", 12, 4
    ),
    ("redis", "gone when it has expired"): Find(
        "Redis removes a record as soon as it has expired, by the clock of who wrote it", 44, 3
    ),
    ("redis", "nothing is synced"): Find("Nothing is synced, although `appendfsync always` was promised", 22, 3),
    ("served", "a repeat without its key"): Find(
        "The client sends a write whose answer was lost again as if it were another one", 52, 3
    ),
    ("served", "an answer cut short"): Find("The client takes what has arrived of an answer for all of it", 2, 2),
    ("served", "a write made again"): Find("The server makes a write again that arrives again", 52, 3),
    ("served", "an outage for missing"): Find(
        "The server says of a value that it cannot ask the database for that there is none", 2111, 7
    ),
    ("served", "a namespace forgotten"): Find(
        "The server does everything in the first namespace that a token has named", 46, 2
    ),
    ("awaited", "a cancelled write forgotten"): Find(
        "A write that has begun is not waited for when its call is cancelled", 1, 4
    ),
    ("awaited", "answers mixed up"): Find("Reads that were made together get the answers of one another", 2, 1),
    ("awaited", "a child without workers"): Find("A child of a fork waits for the workers of its parent", 2, 2),
}


def row(backend: str, find: Find) -> str:
    """Return how the guide has it."""
    return f"| `{backend}` | {find.told} | {find.seed:,} | {find.steps} |"


@pytest.mark.parametrize(("backend", "fault"), FAULTY)
def test_each_fault_is_found_and_told_in_a_few_steps(backend, fault):
    sound, faulty, find = BACKENDS[backend], FAULTY[backend, fault], FINDS[backend, fault]
    plan = draw(str(find.seed), faulty)
    assert not play(plan, sound).wrong
    played = play(plan, faulty)
    assert played.wrong
    small = shrunk(played, faulty)
    assert small.wrong
    assert small.steps == find.steps, small.story()
    assert find.steps <= MOST_STEPS
    assert find.seed < MOST_RUNS
    for seed in range(times(0, find.seed)):  # of a few faults the first run that goes wrong is not made so small
        before = play(draw(str(seed), faulty), faulty)
        assert not before.wrong or shrunk(before, faulty).steps > MOST_STEPS


def test_the_guide_tells_how_each_is_found():
    rows = [row(backend, find) for (backend, _), find in FINDS.items()]
    table = [
        line for line in GUIDE.read_text().splitlines() if line.startswith(tuple(f"| `{one}` | " for one in BACKENDS))
    ]
    assert [line for line in table if line.count("|") == 5] == rows
