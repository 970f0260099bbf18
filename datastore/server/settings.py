"""What a server allows whoever speaks to it, before and beside what their tokens say."""

from __future__ import annotations

from dataclasses import dataclass, fields

from datastore.arguments import as_number, shown
from datastore.errors import ConfigurationError

_MAY_BE_NONE = frozenset({"token_seconds", "waiting_calls", "at_once_bytes", "narrowed_per_minute", "names_per_day"})


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerLimits:
    """The limits of one server process. Each holds whatever the tokens say.

    Attributes:
        token_seconds: For how long a token that was found valid is not looked up again. A token that another process
            has revoked can be used for so long; one that this process has revoked cannot. 0 looks up each time.
        body_bytes: The largest body of a request. With less than 2,900,000 no blob of 2 MiB or more can be put.
        body_seconds: How long a body may take to arrive.
        bodies_bytes: How much the bodies of all requests under way may take together; one token may have a quarter.
        calls_at_once: How many calls of one token are made at once. Others wait.
        waiting_calls: How many calls of one token may wait. More are refused with `ThrottledError`.
        waiting_seconds: How long a call may wait before it is refused.
        remember_seconds: For how long the answers of writes are remembered, so that a repeated write is not done twice.
            A client repeats a call for less than that.
        remember_bytes: How much these answers may take for one token. Beyond it, a repeat is told that the outcome is
            unknown.
        at_once_bytes: The largest value that a `get` reads on the event loop itself, where the database can do that
            without waiting (SQLite). Everything else is read by workers; 0 lets them read everything.
        narrowed_per_minute: How many narrower tokens one token may make in a minute, with those that descend from it.
        names_per_day: How many new names one token may use in a day, with those that descend from it, for what no quota
            counts: leases, those of runs, and narrower tokens. The record of a lease is kept for 30 days.
        nearest: How many matches one search of ``data_store.memory`` may ask for.
        texts: How many texts one call may give to the host's embedder, or parts that it asks for, and how many
            namespaces it may search.
    """

    token_seconds: float = 1.0
    body_bytes: int = 16_000_000
    body_seconds: float = 30.0
    bodies_bytes: int = 256_000_000
    calls_at_once: int = 16
    waiting_calls: int = 256
    waiting_seconds: float = 30.0
    remember_seconds: float = 600.0
    remember_bytes: int = 4_000_000
    at_once_bytes: int = 65_536
    narrowed_per_minute: int = 60
    names_per_day: int = 10_000
    nearest: int = 1_000
    texts: int = 1_000

    def __post_init__(self) -> None:
        for field in fields(self):
            given = as_number(getattr(self, field.name))
            least = 0 if field.name in _MAY_BE_NONE else 1e-3
            if given is None or not least <= given < 1e15:
                raise ConfigurationError(
                    f"{field.name} is {shown(getattr(self, field.name))}; it must be a number of at least {least:g}"
                )
