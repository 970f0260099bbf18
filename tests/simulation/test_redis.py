"""The model of Redis: it answers as a server does."""

import uuid
from contextlib import ExitStack, contextmanager
from functools import partial
from random import Random
from types import SimpleNamespace
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from redis import Connection, ResponseError

from datastore_redis import codec, removing
from datastore_redis.client import packed
from datastore_redis.failures import code_of
from datastore_redis.scripts import COUNT, LEAVE, LIVE, NAMESPACES, REMOVE, SCRIPTS, SWAP
from tests.full import EXAMPLES_ON_SERVERS, times
from tests.servers import redis as servers
from tests.simulation.both import CALLS, outcomes
from tests.simulation.redis import SimulatedConnection, Socket, adapter_over
from tests.simulation.redis_server import NO_MEMORY, READ_ONLY, RedisModel, commands_of

DIGESTS = [script.digest.encode() for script in SCRIPTS]


class Noting:
    """Notes what a connection sends and receives."""

    def __init__(self, notes, **options):
        super().__init__(**options)
        self.notes = notes

    def send_packed_command(self, command, check_health=True):
        self.notes.append(commands_of(b"".join(command)))
        super().send_packed_command(command, check_health)

    def read_response(self, *args, **kwargs):
        try:
            answer = super().read_response(*args, **kwargs)
        except ResponseError as error:
            self.notes.append(code_of(error))
            raise
        self.notes.append(answer)
        return answer


class Real(Noting, Connection):
    """A connection to a server, whatever the address of the model is."""

    def __init__(self, notes, **options):
        super().__init__(notes, **(options | {"host": servers.HOST, "port": servers.server().port}))


class Modelled(Noting, SimulatedConnection):
    """A connection to a model."""


@contextmanager
def tokens_from(chance):
    """Let the tokens of writes be the same for the same chance."""
    with ExitStack() as replaced:
        bits = Random(chance)
        for module in (codec, removing):
            replaced.enter_context(patch.object(module, "os", SimpleNamespace(urandom=bits.randbytes)))
        yield


@pytest.mark.server("redis")
@settings(max_examples=EXAMPLES_ON_SERVERS)
@given(calls=CALLS)
def test_it_answers_the_adapter_as_a_server_does(calls):
    """The same calls come to the same, by the same requests and answers, and leave the same keys."""
    model, chance, name = RedisModel(), uuid.uuid4().hex, f"test_{uuid.uuid4().hex}"
    came_to, notes = [], ([], [])
    connect = partial(Socket, model)
    for kind in (partial(Real, notes[0]), partial(Modelled, notes[1], connect=connect)):
        with tokens_from(chance):
            came_to.append(outcomes(adapter_over(kind, name=name), calls, chance))
    assert came_to[1] == came_to[0]
    assert notes[1] == notes[0]
    assert held_by(connected(servers.server())) == {
        key: (value, key in model.state.ends) for key, value in model.state.keys.items()
    }
    servers.give_back()


NAMES = (b"{u}:1", b"{u}:2", b"{u}", b"{u}:expiring", b"users", b"format")
"""Of two records, of three sorted sets, and of a text."""
IDS = (b"u:a:1", b"u:a:2", b"u:b:1", b"u:b:1\x002001", b"2001\x00u:b:1", b"2002\x00u:a:1")
FIELDS = (b"createdAt", b"revision", b"expiresAt", b"token", b"accessCount", b"recentCounts")
VALUES = (b"", b"1", b"2001", b"2002", b"ab", b"-")
WHICH = (b"all", b"older", b"expired")
BOUNDS = (b"-", b"+", b"[u:a:", b"(u:a:1\x01", b"(u:b:1", b"[u:b:1", b"(2002\x01", b"(u:c")


def drawn(random):
    """Return a command that the adapter or a script of its could send, on a key that may hold something else."""
    row, ids, text = (
        random.choice(names if random.random() < 0.9 else NAMES) for names in (NAMES[:2], NAMES[2:5], NAMES[5:])
    )
    value, number = random.choice(VALUES), b"%d" % random.randint(-1, 3)
    some, fields = (random.sample(of, random.randint(1, 3)) for of in (IDS, FIELDS))
    two, low, high = random.sample(IDS, 2), random.choice(BOUNDS), random.choice(BOUNDS)
    page = (b"LIMIT", b"0", b"%d" % random.randint(0, 3)) if random.random() < 0.5 else ()
    index = (ids, b"{u}:expiring")
    how, at = random.choice((b"new", b"change", b"remove")), random.choice((b"", b"2001", b"2002"))
    return random.choice(
        (
            (b"GET", text),
            (b"SET", text, value, *random.choice(((), (b"NX",)))),
            (b"EXISTS", row, ids),
            (b"DEL", random.choice((row, ids, text)), text),
            (b"TYPE", random.choice((row, ids, text))),
            (b"HMGET", row, *fields),
            (b"HSET", row, *(part for name in fields for part in (name, value))),
            (b"HDEL", row, *fields),
            (b"HINCRBY", row, fields[0], number),
            (b"PEXPIRE", random.choice((row, ids, text)), random.choice((b"-1", b"0", b"100000000"))),
            (b"PERSIST", row),
            (b"ZADD", ids, *(part for id in some for part in (b"0", id))),
            (b"ZREM", ids, *some),
            (b"ZRANGE", ids, b"0", b"-1"),
            (b"ZRANGEBYLEX", ids, low, high, *page),
            (b"ZREVRANGEBYLEX", ids, high, low, *page),
            (b"ZLEXCOUNT", ids, low, high),
            run(SWAP, row, *index, value, b"u:a:1", how, b"100000000", at, b"token", b"ab", b"value", b"1"),
            (b"EVAL", SWAP.text.encode(), b"3", row, *index, value, b"u:a:1", how, b"1000000", at, b"token", b"ab"),
            run(COUNT, row, value, b"m", b"2", b"2", b"agent", b"2001", keys=1),
            run(REMOVE, *index, row, random.choice(NAMES), b"2001", random.choice(WHICH), *two, keys=4),
            run(LIVE, *index, b"u:a:", b"u:b;", b"2001", keys=2),
            run(NAMESPACES, ids, b"u:", b"u;", b"2001", keys=1),
            run(LEAVE, ids, b"leaving", b"u", b"u\x00mark", keys=2),
        )
    )


def run(script, *words, keys=3):
    return b"EVALSHA", script.digest.encode(), b"%d" % keys, *words


CONDITIONS = {
    None: (),
    NO_MEMORY: (("CONFIG", "SET", "maxmemory", "1"), ("CONFIG", "SET", "maxmemory", "0")),
    READ_ONLY: (("REPLICAOF", servers.HOST, "1"), ("REPLICAOF", "NO", "ONE")),
}
"""What brings a server into each condition, and out of it."""


def connected(server):
    connection = Connection(host=servers.HOST, port=server.port, protocol=2, driver_info=None)
    connection.connect()
    return connection


def asked(connection, commands):
    """Send commands in one request, and return their answers, with the codes of those that were refused."""
    connection.send_packed_command([packed(commands)])
    return [answer_of(connection) for _ in commands]


def answer_of(connection):
    try:
        return connection.read_response()
    except ResponseError as error:
        return code_of(error)


def held_by(connection):
    """Return what a server holds: by key the value, and whether it expires."""
    (keys,) = asked(connection, [("KEYS", "*")])
    held = {}
    for key in keys:
        kind, left = asked(connection, [("TYPE", key), ("PTTL", key)])
        how = {b"hash": ("HGETALL", key), b"zset": ("ZRANGE", key, 0, -1), b"string": ("GET", key)}[kind]
        (value,) = asked(connection, [how])
        if kind == b"hash":
            value = dict(zip(value[::2], value[1::2], strict=True))
        held[key] = (set(value) if kind == b"zset" else value), left > 0
    return held


def differences(seed, model, server):
    """Send the same commands to a model and to a server, and yield those whose answers differ, and what is left."""
    random, real = Random(seed), connected(server)
    over = SimulatedConnection(partial(Socket, model), protocol=2, driver_info=None)
    over.connect()
    for one in (real, over):
        asked(one, [("SCRIPT", "LOAD", script.text) for script in SCRIPTS])
    for _ in range(30):
        model.refuses = random.choice((None, None, NO_MEMORY, READ_ONLY))
        commands = [drawn(random) for _ in range(random.choice((1, 3, 10)))]
        into, out_of = CONDITIONS[model.refuses] or (None, None)
        if into:
            asked(real, [into])
        answers = asked(real, commands)
        if out_of:
            asked(real, [out_of])
        for command, answer, modelled in zip(commands, answers, asked(over, commands), strict=True):
            if answer != modelled:
                yield model.refuses, command, answer, modelled
        if random.random() < 0.1:
            asked(real, [("SCRIPT", "FLUSH")])
            model.scripts.clear()
            assert (
                asked(over, [("EVALSHA", DIGESTS[0], 0)]) == asked(real, [("EVALSHA", DIGESTS[0], 0)]) == ["NOSCRIPT"]
            )
            for one in (real, over):
                asked(one, [("SCRIPT", "LOAD", script.text) for script in SCRIPTS])
    held = held_by(real)
    model.refuses = None
    if held != {key: (value, key in model.state.ends) for key, value in model.state.keys.items()}:
        yield model.state, held
    servers.give_back(server)
    real.disconnect()


@pytest.mark.server("redis")
@pytest.mark.parametrize("seed", range(times(10, 300)))
def test_it_answers_commands_as_a_server_does(seed):
    assert list(differences(seed, RedisModel(), servers.server())) == []


@pytest.mark.server("redis-debian")
@pytest.mark.parametrize("seed", range(times(3, 300)))
def test_it_answers_commands_as_redis_7_does(seed):
    assert list(differences(seed, RedisModel(), servers.debians())) == []


class TakesAnythingForNew(RedisModel):
    """Writes a text whether there is one or not."""

    def _set(self, key, value, *how):
        return super()._set(key, value)


class ForgetsWhatExpires(RedisModel):
    """Takes an end away with each write."""

    def _hset(self, key, *pairs):
        self.state.ends.pop(key, None)
        return super()._hset(key, *pairs)


class KeepsWhatIsEmpty(RedisModel):
    """Keeps a hash or a set of which nothing is left."""

    def _end_if_empty(self, key, left):
        pass


@pytest.mark.server("redis")
@pytest.mark.parametrize("model", [TakesAnythingForNew, ForgetsWhatExpires, KeepsWhatIsEmpty])
def test_a_model_that_drifts_is_noticed(model):
    assert any(list(differences(seed, model(), servers.server())) for seed in range(60))
