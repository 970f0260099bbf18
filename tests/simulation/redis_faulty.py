"""The adapter for Redis with one fault at a time: the simulator must find each of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from redis import exceptions

from datastore.adapters.changes import Applied, Change, Result
from datastore.backend import Access
from datastore.errors import DataStoreError
from datastore.times import parse_time
from datastore_redis import backend, client, codec, reading, removing, scripts, writing
from datastore_redis.client import Session
from datastore_redis.scripts import COUNT, LIVE, SWAP, Script
from datastore_redis.writing import Records
from tests.simulation.redis import RedisDatabase

_COUNTED = "redis.call('HINCRBY'"
_KNOWS_ITS_MARKS = COUNT.text[COUNT.text.index("for i = 1") : COUNT.text.index(_COUNTED)]


def _with(script: Script, changes: Mapping[str, str]) -> list[tuple[Any, str, Any]]:
    """Return the replacements that put another script in the place of one.

    Args:
        script: The script.
        changes: What is in it, and what is there instead.
    """
    text = script.text
    for old, new in changes.items():
        assert old in text, old
        text = text.replace(old, new)
    changed = scripts._script(text)
    name = next(name for name, one in vars(scripts).items() if one is script)
    return [
        *((module, name, changed) for module in (reading, removing, writing) if name in vars(module)),
        (backend, "SCRIPTS", tuple(changed if one is script else one for one in scripts.SCRIPTS)),
        (client, "_TEXTS", {**client._TEXTS, changed.digest: changed.text}),
    ]


def _takes_a_refusal_for_done(records: Records, change: Change, token: str, answer: Any) -> Result:
    done = isinstance(answer, DataStoreError) and not isinstance(change.write, Access)
    return Applied(token) if done else _RESULT(records, change, token, answer)


def _keeps_a_connection(session: Session, connection: Any) -> None:
    """Give a connection back, whatever of its answers is still to come."""
    if connection is not None:
        session.give_back(connection)


def _asks_nothing(session: Session, connection: Any) -> bool:
    return True


def _at_a_time_of_the_server(at: str, expires_at: str) -> str:
    return str(int(parse_time(expires_at).timestamp() * 1_000))


_RESULT = Records._result

FAULTY: dict[str, Callable[[], RedisDatabase]] = {
    "a lost answer counted twice": partial(RedisDatabase, faults=_with(COUNT, {_KNOWS_ITS_MARKS: ""})),
    "counting revives": partial(
        RedisDatabase, faults=_with(COUNT, {"row[1] ~= ARGV[1]": "row[1] and row[1] ~= ARGV[1]"})
    ),
    "a write over any token": partial(
        RedisDatabase, faults=_with(SWAP, {"if token ~= ARGV[1]": "if (token == '') ~= (ARGV[1] == '')"})
    ),
    "an id listed twice": partial(RedisDatabase, faults=_with(SWAP, {"redis.call('ZREM', ids, old)": ""})),
    "an end that stays": partial(RedisDatabase, faults=_with(SWAP, {"redis.call('HDEL', KEYS[1], 'expiresAt')": ""})),
    "what has expired is counted": partial(RedisDatabase, faults=_with(LIVE, {"total = total - 1": ""})),
    "a refusal for done": partial(RedisDatabase, faults=[(Records, "_result", _takes_a_refusal_for_done)]),
    "a connection kept": partial(
        RedisDatabase, faults=[(Session, "discard", _keeps_a_connection), (Session, "is_open", _asks_nothing)]
    ),
    "scripts are not sent again": partial(RedisDatabase, faults=[(exceptions, "NoScriptError", ())]),
    "gone by the server's clock": partial(
        RedisDatabase,
        faults=[*_with(SWAP, {"'PEXPIRE'": "'PEXPIREAT'"}), (codec, "_forgotten_after", _at_a_time_of_the_server)],
    ),
    "gone when it has expired": partial(RedisDatabase, faults=[(codec, "_GRACE", 0)]),
    "nothing is synced": partial(RedisDatabase, loses=True),
}
"""The databases with such an adapter, by what is wrong with it."""
