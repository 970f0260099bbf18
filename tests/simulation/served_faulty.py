"""The server and its client with one fault at a time: the simulator must find each of them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import partial
from http.client import HTTPException
from typing import Any

from datastore import BackendUnavailableError
from datastore.agent import AgentDataStore
from datastore.asynchronous.agent import AsyncAgentDataStore
from datastore.calls.lending import Claim
from datastore.remote import connections, transport
from datastore.remote.connections import Answer, Connection
from datastore.server import access, app
from datastore.server.access import Holder
from datastore.server.app import Application
from datastore.server.running import Runner
from datastore.wire import KEY, REPEAT
from datastore.wire.answered import Answer as Answered
from datastore.wire.calls import MISSING, Call, Result
from datastore.wire.messages import result_to_bytes
from tests.simulation.served import ServedDatabase

_NAMES_IT = re.compile(f"({KEY}|{REPEAT}): [^\r]*\r\n".encode())


class RepeatsWithoutItsKey(Connection):
    """A write whose answer was lost is sent again as if it were another one."""

    def ask(self, request: bytes, until: float) -> Answer:
        return super().ask(_NAMES_IT.sub(b"", request) if f"{REPEAT}: ".encode() in request else request, until)


class TakesAnAnswerCutShort(Answer):
    """What has arrived of an answer is taken for all of it."""

    __slots__ = ()

    def whole(self) -> bytes:
        try:
            return super().whole()
        except connections.LostError as lost:
            if isinstance(lost.__cause__, HTTPException) and hasattr(lost.__cause__, "partial"):
                return lost.__cause__.partial  # type: ignore[no-any-return]  # what has arrived
            raise


class DoesItAgain(Application):
    """A write that arrives again is made again, as if it were new."""

    async def _answer(self, name: str, call: Call | None, holder: Holder, headers: Any, body: bytes) -> Answered:
        return await self._made(name, call, holder, headers, body)


class SaysMissing(Runner):
    """A value that the database cannot be asked for is not there."""

    async def run(
        self,
        holder: Holder,
        call: Call,
        namespace: str | None,
        arguments: dict[str, Any],
        leases: Sequence[Claim] = (),
    ) -> bytes:
        try:
            return await super().run(holder, call, namespace, arguments, leases)
        except BackendUnavailableError:
            if call.result is Result.FOUND:
                return result_to_bytes(Result.FOUND, MISSING)
            raise


class ForgetsTheNamespace(Holder):
    """Everything is done in the namespace of the first request of a token."""

    def store(self, namespace: str | None) -> tuple[AgentDataStore, AsyncAgentDataStore]:
        return super().store(next(iter(self._stores), namespace))


FAULTY: Mapping[str, Any] = {
    "a repeat without its key": partial(ServedDatabase, more=[(transport, "Connection", RepeatsWithoutItsKey)]),
    "an answer cut short": partial(ServedDatabase, more=[(connections, "Answer", TakesAnAnswerCutShort)]),
    "a write made again": partial(ServedDatabase, DoesItAgain),
    "an outage for missing": partial(ServedDatabase, more=[(app, "Runner", SaysMissing)]),
    "a namespace forgotten": partial(ServedDatabase, more=[(access, "Holder", ForgetsTheNamespace)]),
}
"""The databases by what is wrong with the server, or with its client."""
