"""Asking the server, and what its answers become: results, streams and typed errors."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from math import inf
from typing import Any

from datastore import deadlines
from datastore.core import Core
from datastore.errors import (
    BackendUnavailableError,
    ConfigurationError,
    DataStoreError,
    InternalError,
    InvalidTokenError,
    PermissionDeniedError,
    ThrottledError,
    ValueTooLargeError,
)
from datastore.remote.served import transport_of
from datastore.remote.transport import NAME, Reply, Transport
from datastore.wire.calls import Call, Result
from datastore.wire.messages import Listing, answer_from_bytes


def ask(core: Core, call: Call, body: bytes, *, limited: bool = True) -> Any:
    """Make a request and return its result; of a call that is answered in lines the items, and the cursor of a page.

    Args:
        core: The client's.
        call: What is asked.
        body: With which arguments.
        limited: Whether it has to end within ``max_seconds``.

    Raises:
        DataStoreError: The error that the host tells; or what `Transport.ask` raises.
    """
    return ask_over(transport_of(core), call, body, core.max_seconds if limited else None)


def ask_over(transport: Transport, call: Call, body: bytes, max_seconds: float | None) -> Any:
    """Make a request as `ask` does, over a transport."""
    before = None if max_seconds is None else deadlines.begin(max_seconds, sys._getframe())
    try:
        reply = transport.ask(call.name, body, writes=call.writes, in_lines=call.in_lines)
    finally:
        if max_seconds is not None:
            deadlines.end(before)
    if reply.status != 200:
        raise explained(reply)
    if not call.in_lines:
        return answer_from_bytes(call.result, reply.body)
    items: list[Any] = []
    listing = Listing(call.result)
    for line in reply.body.split(b"\n"):
        if line:
            items += listing.read(line)
    return (items, listing.cursor) if call.result is Result.PAGE else items


def streamed(core: Core, call: Call, body: bytes, *, limited: bool = True) -> Iterator[Any]:
    """Yield what is listed in a stream, one line of it in memory at a time. Whoever drops it closes its connection.

    Args:
        core: The client's.
        call: What is asked.
        body: With which arguments.
        limited: Whether each piece has to come within ``max_seconds``.
    """
    with deadlines.within(core.max_seconds):
        stream = transport_of(core).stream(call.name, body)
    if isinstance(stream, Reply):
        raise explained(stream)
    listing, rest = Listing(call.result), b""
    try:
        while piece := stream.read(time.monotonic() + core.max_seconds if limited else inf):
            *lines, rest = (rest + piece).split(b"\n")
            for line in lines:
                for one in listing.read(line):
                    yield one
                    core.check_open()
        if not listing.is_whole:
            raise BackendUnavailableError("the listing broke off: some of it is missing", backend=NAME)
    finally:
        stream.close()


def explained(reply: Reply) -> DataStoreError:
    """Return the error for an answer that is not a success: the host's own, or what a server in between has said."""
    try:
        answer_from_bytes(Result.VALUE, reply.body)
    except InternalError as error:
        if error.message.startswith(_NOT_OURS) and (known := _by_status(reply.status)) is not None:
            return known
        return error
    except DataStoreError as error:
        return error
    return InternalError(f"the server answered with the status {reply.status} and without an error", backend=NAME)


_NOT_OURS = "the server's answer is not one of this protocol"


def _by_status(status: int) -> DataStoreError | None:
    """Return the error for the status of an answer that is not of this protocol."""
    told = f"the answer has the status {status} and is not one of a datastore server"
    if 300 <= status < 400:
        return ConfigurationError(
            f"{told}: redirects are not followed, give the URL of the server itself", backend=NAME
        )
    known: dict[int, type[DataStoreError]] = {
        401: InvalidTokenError,
        403: PermissionDeniedError,
        413: ValueTooLargeError,
        429: ThrottledError,
        502: BackendUnavailableError,
        503: BackendUnavailableError,
        504: BackendUnavailableError,
    }
    kind = known.get(status, ConfigurationError if 400 <= status < 500 else None)
    return None if kind is None else kind(f"{told}; something answers in its place", backend=NAME)
