"""A model of a Redis 6.2 server at the level of its protocol: keys, commands, and the adapter's scripts, run by Lua.

It has the commands that the adapter uses, and says so if it is asked for another. That it answers as a server does is
tested: the same commands go to it and to Redis (`test_redis.py`).
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Sequence
from hashlib import sha1
from typing import Any, NamedTuple, TypeAlias

from hiredis import Reader
from lupa.lua51 import LuaRuntime

Hash: TypeAlias = dict[bytes, bytes]
SortedSet: TypeAlias = set[bytes]
"""All scores are 0 here, so it is in the order of its members."""
Words: TypeAlias = Sequence[bytes]


class RefusalError(Exception):
    """An answer that is an error."""


READ_ONLY = RefusalError("READONLY You can't write against a read only replica.")
NO_MEMORY = RefusalError("OOM command not allowed when used memory > 'maxmemory'.")
BUSY = RefusalError("BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.")
LOADING = RefusalError("LOADING Redis is loading the dataset in memory")


class Status(bytes):
    """An answer that is no value, such as ``OK``."""


class State(NamedTuple):
    """What a server holds."""

    keys: dict[bytes, Any]
    """A `Hash`, a `SortedSet` or a text by key."""
    ends: dict[bytes, float]
    """When keys expire, in milliseconds."""

    def copy(self) -> State:
        """Return a copy of which nothing changes when this changes."""
        return State({key: _copy(value) for key, value in self.keys.items()}, dict(self.ends))


class RedisModel:
    """A server.

    Args:
        clock: Returns the time of its clock, in milliseconds.
    """

    def __init__(self, clock: Callable[[], float] = lambda: 0.0) -> None:
        self.clock = clock
        self.state = State({}, {})
        self.scripts: dict[bytes, str] = {}
        """What was loaded, by digest."""
        self.refuses: RefusalError | None = None
        """`NO_MEMORY` or `READ_ONLY`, if that is what writes come to."""
        self.has_written = False
        """Whether the last command has changed anything, or may have."""

    def carry_out(self, words: Words) -> Any:
        """Carry out a command, and return its answer, of which a `RefusalError` is one."""
        self.has_written = False
        try:
            name = words[0]
            if name in (b"EVALSHA", b"EVAL"):
                return self._run(words)
            if name == b"SCRIPT":
                return self._load(*words[1:])
            return self._do(words)
        except RefusalError as refusal:
            return refusal

    def _do(self, words: Words) -> Any:
        command = _COMMANDS.get(words[0])
        assert command is not None, f"the model has no {words[0].decode()}"
        # A script that has begun to write goes on to its end without memory.
        if self.refuses and (command.writes if self.refuses is READ_ONLY else command.needs_memory > self.has_written):
            raise RefusalError(*self.refuses.args)
        self._forget_expired(words[1])
        self.has_written |= command.writes
        return getattr(self, command.does)(*words[1:])

    def _forget_expired(self, key: bytes) -> None:
        if self.state.ends.get(key, self.clock() + 1) <= self.clock():
            self._remove(key)

    def _run(self, words: Words) -> Any:
        """Run a script. Where it finds no memory at its first write it ends there; after one it goes on."""
        _, script, number, *rest = words
        if words[0] == b"EVAL":
            self._load(b"LOAD", script)
            script = digest_of(script).encode()
        if script not in self.scripts:
            raise RefusalError("NOSCRIPT No matching script. Please use EVAL.")

        keys, arguments = rest[: int(number)], rest[int(number) :]
        _running.append(self)
        try:
            done, result = _compiled(self.scripts[script])(_table(keys), _table(arguments))
        finally:
            _running.pop()
        if done:
            return _from_lua(result)
        assert isinstance(result, _LUA_TABLE), result  # anything else is a mistake in a script
        message = result[b"err"].decode()
        told = f"@user_script: 1: -{message}" if message.startswith(("OOM", "READONLY")) else message  # as Redis 6 does
        raise RefusalError(f"ERR Error running script (call to f_{script.decode()}): @user_script:1: {told}")

    def _load(self, how: bytes, text: bytes) -> bytes:
        assert how == b"LOAD", how
        digest = digest_of(text).encode()
        self.scripts[digest] = text.decode()
        return digest

    def _found(self, key: bytes, kind: type) -> Any:
        """Return what a key holds, or ``None``."""
        found = self.state.keys.get(key)
        if found is not None and type(found) is not kind:
            raise RefusalError("WRONGTYPE Operation against a key holding the wrong kind of value")
        return found

    def _made(self, key: bytes, kind: type) -> Any:
        """Return what a key holds, and make it if there is nothing."""
        found = self._found(key, kind)
        if found is None:
            found = self.state.keys[key] = kind()
        return found

    def _remove(self, key: bytes) -> bool:
        self.state.ends.pop(key, None)
        return self.state.keys.pop(key, None) is not None

    def _get(self, key: bytes) -> bytes | None:
        found: bytes | None = self._found(key, bytes)
        return found

    def _set(self, key: bytes, value: bytes, *how: bytes) -> Status | None:
        assert how in ((), (b"NX",)), how
        if how and key in self.state.keys:
            return None
        self._remove(key)
        self.state.keys[key] = value
        return _OK

    def _exists(self, *keys: bytes) -> int:
        for key in keys:
            self._forget_expired(key)
        return sum(key in self.state.keys for key in keys)

    def _del(self, *keys: bytes) -> int:
        for key in keys:
            self._forget_expired(key)
        return sum(self._remove(key) for key in keys)

    def _type(self, key: bytes) -> Status:
        return Status(_TYPES[type(self.state.keys.get(key))])

    def _pexpire(self, key: bytes, milliseconds: bytes) -> int:
        if key not in self.state.keys:
            return 0
        if int(milliseconds) <= 0:
            self._remove(key)
        else:
            self.state.ends[key] = self.clock() + int(milliseconds)
        return 1

    def _pexpireat(self, key: bytes, milliseconds: bytes) -> int:
        return self._pexpire(key, b"%d" % (int(milliseconds) - self.clock()))

    def _persist(self, key: bytes) -> int:
        return int(self.state.ends.pop(key, None) is not None)

    def _hmget(self, key: bytes, *names: bytes) -> list[bytes | None]:
        row = self._found(key, dict) or {}
        return [row.get(name) for name in names]

    def _hset(self, key: bytes, *pairs: bytes) -> int:
        row = self._made(key, dict)
        before = len(row)
        row.update(zip(pairs[::2], pairs[1::2], strict=True))
        return len(row) - before

    def _hdel(self, key: bytes, *names: bytes) -> int:
        row = self._found(key, dict) or {}
        there = sum(row.pop(name, None) is not None for name in names)
        self._end_if_empty(key, row)
        return there

    def _hincrby(self, key: bytes, name: bytes, number: bytes) -> int:
        row = self._made(key, dict)
        try:
            total = int(row.get(name, b"0")) + int(number)
        except ValueError:
            raise RefusalError("ERR hash value is not an integer") from None
        row[name] = b"%d" % total
        return total

    def _zadd(self, key: bytes, *pairs: bytes) -> int:
        assert not set(pairs[::2]).difference((b"0",)), "the model has no scores"
        members = self._made(key, set)
        before = len(members)
        members.update(pairs[1::2])
        return len(members) - before

    def _zrem(self, key: bytes, *names: bytes) -> int:
        members = self._found(key, set) or set()
        there = members.intersection(names)
        members.difference_update(there)
        self._end_if_empty(key, members)
        return len(there)

    def _zrange(self, key: bytes, first: bytes, last: bytes) -> list[bytes]:
        assert (first, last) == (b"0", b"-1")
        return sorted(self._found(key, set) or ())

    def _zrangebylex(self, key: bytes, low: bytes, high: bytes, *limit: bytes) -> list[bytes]:
        return _page(self._between(key, low, high), limit)

    def _zrevrangebylex(self, key: bytes, high: bytes, low: bytes, *limit: bytes) -> list[bytes]:
        return _page(self._between(key, low, high)[::-1], limit)

    def _zlexcount(self, key: bytes, low: bytes, high: bytes) -> int:
        return len(self._between(key, low, high))

    def _between(self, key: bytes, low: bytes, high: bytes) -> list[bytes]:
        return sorted(one for one in self._found(key, set) or () if _is_after(one, low) and _is_before(one, high))

    def _end_if_empty(self, key: bytes, left: Hash | SortedSet) -> None:
        if not left:
            self._remove(key)


class _Command(NamedTuple):
    does: str
    writes: bool
    needs_memory: bool


def _commands() -> Iterator[tuple[bytes, _Command]]:
    for name in ("GET", "EXISTS", "TYPE", "HMGET", "ZRANGE", "ZRANGEBYLEX", "ZREVRANGEBYLEX", "ZLEXCOUNT"):
        yield name.encode(), _Command(f"_{name.lower()}", writes=False, needs_memory=False)
    for name in ("DEL", "HDEL", "ZREM", "PEXPIRE", "PEXPIREAT", "PERSIST"):
        yield name.encode(), _Command(f"_{name.lower()}", writes=True, needs_memory=False)
    for name in ("SET", "HSET", "HINCRBY", "ZADD"):
        yield name.encode(), _Command(f"_{name.lower()}", writes=True, needs_memory=True)


_COMMANDS = dict(_commands())
_OK = Status(b"OK")
_TYPES = {type(None): b"none", bytes: b"string", dict: b"hash", set: b"zset"}
_LUA: Any = LuaRuntime(encoding=None, unpack_returned_tuples=True)
"""Scripts keep nothing between two of their runs, so one will do for all servers."""
_LUA_TABLE = type(_LUA.table())
_running: list[RedisModel] = []
"""The server whose script runs. No other thread has its turn meanwhile."""


def _called(*words: Any) -> Any:
    """Carry out a command of a script."""
    try:
        return _to_lua(_running[-1]._do([_word(one) for one in words]))
    except RefusalError as refusal:
        return _LUA.table_from({b"err": str(refusal).encode()})


# What a script calls, and how it is run. No exception of Python's goes through Lua, which would take ever more time.
_with_redis = _LUA.execute(
    b"""
local do_command = ...
local redis = {pcall = do_command}
function redis.call(...)
  local answer = do_command(...)
  if type(answer) == 'table' and answer.err then error(answer) end
  return answer
end
return function(script) return function(KEYS, ARGV) return pcall(script, KEYS, ARGV, redis) end end
""",
    _called,
)


@functools.cache
def _compiled(text: str) -> Any:
    return _with_redis(_LUA.execute(f"return function(KEYS, ARGV, redis) {text}\nend".encode()))


def _table(items: Iterable[Any]) -> Any:
    return _LUA.table_from(list(items))


def _to_lua(answer: Any) -> Any:
    """Return an answer as a script sees it (https://redis.io/docs/latest/develop/programmability/lua-api/)."""
    if answer is None:
        return False
    if isinstance(answer, list):
        return _table(map(_to_lua, answer))
    return _LUA.table_from({b"ok": bytes(answer)}) if isinstance(answer, Status) else answer


def _from_lua(result: Any) -> Any:
    """Return what a script returns as the answer that it is; a list ends before its first ``nil``."""
    if isinstance(result, _LUA_TABLE):
        items: list[Any] = []
        while (item := result[len(items) + 1]) is not None:
            items.append(_from_lua(item))
        return items
    if result is True:
        return 1
    return int(result) if isinstance(result, float) else result or None if isinstance(result, bool) else result


def _word(argument: Any) -> bytes:
    """Return an argument that a script gives to a command."""
    return argument if isinstance(argument, bytes) else b"%.17g" % argument


def _is_after(member: bytes, low: bytes) -> bool:
    if low[:1] in b"-+":
        return low == b"-"
    return member > low[1:] if low[:1] == b"(" else member >= low[1:]


def _is_before(member: bytes, high: bytes) -> bool:
    if high[:1] in b"-+":
        return high == b"+"
    return member < high[1:] if high[:1] == b"(" else member <= high[1:]


def _page(members: list[bytes], limit: Sequence[bytes]) -> list[bytes]:
    if not limit:
        return members
    _, first, number = limit
    return members[int(first) :][: int(number)]


def _copy(value: Any) -> Any:
    return value if isinstance(value, bytes) else value.copy()


def digest_of(script: bytes) -> str:
    """Return the digest by which a server knows a script."""
    return sha1(script, usedforsecurity=False).hexdigest()


def commands_of(request: bytes) -> list[list[bytes]]:
    """Return the commands of a request, each as its words."""
    reader = Reader()
    reader.feed(request)
    found = []
    while (words := reader.gets()) is not False:
        found.append(words)
    return found


def encoded(answer: Any) -> bytes:
    """Return an answer as it is sent (https://redis.io/docs/latest/develop/reference/protocol-spec/)."""
    if answer is None:
        return b"$-1\r\n"
    if isinstance(answer, int):
        return b":%d\r\n" % answer
    if isinstance(answer, list):
        return b"*%d\r\n%b" % (len(answer), b"".join(map(encoded, answer)))
    if isinstance(answer, RefusalError):
        return b"-%b\r\n" % str(answer).encode()
    if isinstance(answer, Status):
        return b"+%b\r\n" % answer
    return b"$%d\r\n%b\r\n" % (len(answer), answer)
