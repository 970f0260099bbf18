"""What a host is told of a call, and how it is logged; see `datastore.watching`."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True)
class CallEvent:
    """One call of an agent, when it has ended. It holds no value, no metadata, and nothing that a filter asked for.

    Attributes:
        time: When the call began.
        token: The label of the token that the agent was bound with; ``None`` if it was bound without one.
        user: Whose data it was about.
        agent: Who called; empty for the host (`DataStore.host`).
        call: The name of the call, such as ``"get"``.
        namespace: The namespace that the agent's store is bound to; ``None`` for a call about several namespaces.
        key: The key, of a call about one record; the name of a blob, a log or a lease; the id of a run. ``None`` if
            that is not known. A key that was refused because it is too long is cut off.
        keys: How many keys were given, of a call about several; else ``None``.
        found: How many records (or keys, or namespaces) were returned, removed, changed or counted: of a call about one
            record 1 or 0. ``None`` for a call that only stores, and for one that failed.
        bytes: The size of the values that were returned or stored, as JSON in UTF-8, and of the content of blobs; 0 if
            the call failed.
        duration: How long it took, in seconds; a stream until it ended or was given up.
        error: The name of the class of the error that was raised; ``None`` if there was none.
    """

    time: datetime
    token: str | None
    user: str
    agent: str
    call: str
    namespace: str | None
    key: str | None
    keys: int | None
    found: int | None
    bytes: int
    duration: float
    error: str | None


def audit(event: CallEvent) -> None:
    """Log a call: one line of JSON, at level INFO, to the logger ``datastore.audit``.

    Give it to ``connect(on_call=datastore.audit)``. The line is ASCII, so whatever is in a key it stays one line, and
    has every field of `CallEvent`, in their order. A formatter that makes its own lines finds the same fields as a dict
    in the log record's attribute ``datastore``. While the logger is not enabled for INFO, this does nothing.

    Args:
        event: The call.
    """
    if not _audit.isEnabledFor(logging.INFO):
        return
    fields = {name: getattr(event, name) for name in _FIELDS}
    fields["time"] = event.time.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    fields["duration"] = round(event.duration, 6)
    _audit.info("%s", _line(fields), extra={"datastore": fields})


_audit = logging.getLogger("datastore.audit")
_line = json.JSONEncoder(separators=(",", ":")).encode
_FIELDS = tuple(CallEvent.__dataclass_fields__)


class Telemetry:
    """Where spans and metrics go, if not to the providers of the whole process: for ``connect(telemetry=...)``.

    Args:
        tracer_provider: Makes the tracer, an OpenTelemetry ``TracerProvider``; ``None`` for that of the process, also
            if it is set later.
        meter_provider: Makes the meter, a ``MeterProvider``; ``None`` as above.
    """

    __slots__ = ("meter_provider", "tracer_provider")

    def __init__(self, *, tracer_provider: Any = None, meter_provider: Any = None) -> None:
        self.tracer_provider = tracer_provider
        self.meter_provider = meter_provider
