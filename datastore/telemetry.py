"""Spans and metrics of the calls of agents, by OpenTelemetry's semantic conventions for database clients (1.33 and up).

Needs ``pip install 'agent-datastore[otel]'``. The host turns it on with ``connect(telemetry=True)``; nothing of
OpenTelemetry is imported otherwise. See ``docs/observability.md``.
"""

from __future__ import annotations

import builtins
from contextvars import Token
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from datastore import errors
from datastore.errors import ConfigurationError
from datastore.events import CallEvent, Telemetry

try:
    from opentelemetry import context as contexts
    from opentelemetry import metrics, trace
    from opentelemetry.trace import SpanKind, Status, StatusCode
except ImportError as error:
    raise ConfigurationError(
        f"OpenTelemetry cannot be imported ({error}): pip install 'agent-datastore[otel]'"
    ) from error

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.trace import Span


_SCHEMA = "https://opentelemetry.io/schemas/1.33.0"  # the first in which those for databases are stable
_SYSTEMS = {"dynamodb": "aws.dynamodb", "firestore": "gcp.firestore"}
"""The names of databases that the conventions write in another way than the store, or would."""
_BUCKETS = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0)
"""The upper bounds that the conventions ask for, in seconds."""
_NAMED = frozenset(
    name
    for module in (errors, builtins)
    for name, found in vars(module).items()
    if isinstance(found, type) and issubclass(found, BaseException)
) | {"CancelledError"}
_OTHER = "_OTHER"
"""What ``error.type`` is for an error whose class an agent has made: there may be any number of these."""


class Instruments:
    """Makes a span of each call, and measures how long it takes. It is a `datastore.watching.Instruments`."""

    def __init__(self, tracer: trace.Tracer, meter: metrics.Meter, system: str) -> None:
        self._tracer = tracer
        self._system = system
        self._duration = meter.create_histogram(
            "db.client.operation.duration",
            "s",
            "Duration of database client operations.",
            explicit_bucket_boundaries_advisory=_BUCKETS,
        )

    def start(self, call: str, namespace: str | None, user: str, agent: str, token: str | None) -> Span:
        """See `datastore.watching.Instruments`."""
        attributes = {
            "db.system.name": self._system,
            "db.operation.name": call,
            "db.namespace": user,
            "datastore.agent": agent,
        }
        if namespace is not None:
            attributes["db.collection.name"] = namespace
        if token is not None:
            attributes["datastore.token"] = token
        # The name has no namespace in it: agents make as many as they like.
        return self._tracer.start_span(call, kind=SpanKind.CLIENT, attributes=attributes)

    def enter(self, span: Span) -> Token[Context]:
        """See `datastore.watching.Instruments`."""
        return contexts.attach(trace.set_span_in_context(span))

    def leave(self, entered: Token[Context]) -> None:
        """See `datastore.watching.Instruments`."""
        contexts.detach(entered)

    def end(self, span: Span, event: CallEvent) -> None:
        """See `datastore.watching.Instruments`."""
        measured: dict[str, Any] = {"db.system.name": self._system, "db.operation.name": event.call}
        if event.error is not None:
            measured["error.type"] = event.error if event.error in _NAMED else _OTHER
        if span.is_recording():
            if event.error is not None:
                span.set_attribute("error.type", measured["error.type"])
                span.set_status(Status(StatusCode.ERROR))
            for name, number in (("keys", event.keys), ("found", event.found), ("bytes", event.bytes)):
                if number is not None:
                    span.set_attribute(f"datastore.{name}", number)
        self._duration.record(event.duration, measured, trace.set_span_in_context(span))
        span.end()


def instruments(telemetry: Telemetry, backend: str) -> Instruments:
    """Return what makes the spans and metrics of a store, by the name of its backend."""
    number = version("agent-datastore")
    tracer = trace.get_tracer("datastore", number, telemetry.tracer_provider, _SCHEMA)
    meter = metrics.get_meter("datastore", number, telemetry.meter_provider, _SCHEMA)
    return Instruments(tracer, meter, _SYSTEMS.get(backend, backend))
