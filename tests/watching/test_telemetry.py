"""Spans and metrics of OpenTelemetry: named as its conventions say, the parents of what happens inside, and no more."""

import asyncio
import gc
import subprocess
import sys
import textwrap

import pytest
from opentelemetry import trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

import datastore
from datastore import ConfigurationError, DataStore, Telemetry
from datastore.asynchronous.store import AsyncDataStore
from datastore.conformance.calls import CALLS
from datastore.conformance.faults import Wrapped
from datastore_memory.backend import MemoryBackend


class Watched:
    """A store whose spans and metrics are kept, and whose client makes spans of its own."""

    def __init__(self, **options):
        self.exporter, self.reader = InMemorySpanExporter(), InMemoryMetricReader()
        self.tracers = TracerProvider()
        self.tracers.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.meters = MeterProvider(metric_readers=[self.reader])
        telemetry = Telemetry(tracer_provider=self.tracers, meter_provider=self.meters)
        self.store = DataStore(Client(MemoryBackend(), self.tracers), telemetry=telemetry, **options)

    def spans(self):
        found = [span for span in self.exporter.get_finished_spans() if span.kind is SpanKind.CLIENT]
        self.exporter.clear()
        return found

    def tree(self):
        """The finished spans by their parents: what the client did belongs to a call."""
        found = self.exporter.get_finished_spans()
        self.exporter.clear()
        names = {span.context.span_id: span.name for span in found}
        return sorted((names[span.parent.span_id] if span.parent else "", span.name) for span in found)

    def durations(self):
        (of_resource,) = self.reader.get_metrics_data().resource_metrics
        (of_scope,) = of_resource.scope_metrics
        (metric,) = of_scope.metrics
        return metric


class Client(Wrapped):
    """A database client that is instrumented: each request is a span."""

    def __init__(self, backend, tracers):
        super().__init__(backend)
        self.tracer = tracers.get_tracer("client")

    def read(self, *args, **kwargs):
        with self.tracer.start_as_current_span("read"):
            return super().read(*args, **kwargs)

    def write(self, writes):
        with self.tracer.start_as_current_span("write"):
            return super().write(writes)

    def scan(self, *args, **kwargs):
        with self.tracer.start_as_current_span("scan"):
            return super().scan(*args, **kwargs)


@pytest.fixture
def watched():
    watched = Watched(tracking="off")
    with watched.store:
        yield watched


@pytest.fixture
def ann(watched):
    ann = watched.store.agent("ann", "planner", "notes")
    ann.set_many({"plan": {"goal": "sell"}, "list": []})
    watched.exporter.clear()
    return ann


def test_a_span_says_what_the_conventions_ask_for(watched, ann):
    ann.get("plan")
    (span,) = watched.spans()
    assert (span.name, span.kind, span.status.status_code) == ("get", SpanKind.CLIENT, StatusCode.UNSET)
    assert dict(span.attributes) == {
        "db.system.name": "memory",
        "db.operation.name": "get",
        "db.namespace": "ann",
        "db.collection.name": "notes",
        "datastore.agent": "planner",
        "datastore.found": 1,
        "datastore.bytes": len('{"goal":"sell"}'),
    }
    assert span.instrumentation_scope.name == "datastore"
    assert span.instrumentation_scope.version == datastore.__version__
    assert span.instrumentation_scope.schema_url.startswith("https://opentelemetry.io/schemas/")


def test_a_token_is_in_the_span_by_its_label(watched):
    token = watched.store.tokens.mint("ann", "planner", label="run 7")
    watched.store.tokens.agent(token).get_many(["a", "b"])
    (span,) = watched.spans()
    assert span.attributes["datastore.token"] == "run 7"
    assert span.attributes["datastore.keys"] == 2
    assert token not in str(dict(span.attributes))


def test_a_call_about_several_namespaces_has_no_collection(watched, ann):
    ann.find_in("")
    (span,) = watched.spans()
    assert "db.collection.name" not in span.attributes


def test_no_key_and_no_value_is_in_a_span(watched, ann):
    ann.set("the-key", "the-value", {"m": "the-metadata"})
    ann.find({"a": "the-constant"})
    with pytest.raises(datastore.KeyExistsError):
        ann.add("the-key", "the-value")
    said = "".join(span.to_json() for span in watched.spans())
    for word in ("the-key", "the-value", "the-metadata", "the-constant"):
        assert word not in said


@pytest.mark.parametrize(
    ("scheme", "name"), [("sqlite", "sqlite"), ("couchdb", "couchdb"), ("dynamodb", "aws.dynamodb"), ("mine", "mine")]
)
def test_the_database_has_the_name_that_the_conventions_give_it(scheme, name):
    exporter, tracers = InMemorySpanExporter(), TracerProvider()
    tracers.add_span_processor(SimpleSpanProcessor(exporter))
    backend = MemoryBackend()
    backend.name = scheme
    with DataStore(backend, telemetry=Telemetry(tracer_provider=tracers)) as store:
        store.agent("ann", "a").get("k")
    (span,) = exporter.get_finished_spans()
    assert span.attributes["db.system.name"] == name


ERRORS = {
    "KeyExistsError": lambda ann: ann.add("plan", 1),
    "InvalidNameError": lambda ann: ann.get(""),
    "ZeroDivisionError": lambda ann: ann.modify("plan", lambda value: 1 // 0),
    "_OTHER": lambda ann: ann.modify("plan", _raising),
}


class AgentsOwnError(Exception):
    pass


def _raising(value):
    raise AgentsOwnError


@pytest.mark.parametrize("kind", ERRORS)
def test_an_error_is_in_the_span_and_in_the_metric(watched, ann, kind):
    with pytest.raises((datastore.DataStoreError, ZeroDivisionError, AgentsOwnError)):
        ERRORS[kind](ann)
    (span,) = watched.spans()
    assert span.attributes["error.type"] == kind
    assert span.status.status_code is StatusCode.ERROR
    assert span.status.description is None
    assert span.events == ()
    assert [point.attributes.get("error.type") for point in watched.durations().data.data_points] == [None, kind]


def test_the_duration_is_measured_as_the_conventions_ask_for(watched, ann):
    ann.get("plan")
    ann.get("no")
    metric = watched.durations()
    assert (metric.name, metric.unit) == ("db.client.operation.duration", "s")
    points = {point.attributes["db.operation.name"]: point for point in metric.data.data_points}
    assert points["get"].count == 2
    assert points["get"].sum > 0
    assert points["get"].explicit_bounds == (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0)
    assert dict(points["get"].attributes) == {"db.system.name": "memory", "db.operation.name": "get"}


def test_whatever_agents_do_there_are_only_so_many_series(watched, ann):
    """Namespaces, keys and classes of errors are made by agents: they are in no metric."""
    for number in range(20):
        ann.use_namespace(f"n{number}").get(f"k{number}")
        with pytest.raises(AgentsOwnError):
            ann.modify("plan", lambda value, number=number: _fail(type(f"Error{number}", (AgentsOwnError,), {})))
    assert len(watched.durations().data.data_points) == 3


def _fail(kind):
    raise kind


def test_a_call_is_the_parent_of_what_the_client_does(watched, ann):
    ann.get("plan")
    assert watched.tree() == [("", "get"), ("get", "read")]
    ann.modify("plan", lambda value: ann.exists("list") or value)
    assert watched.tree() == sorted(
        [("", "modify"), ("modify", "read"), ("modify", "exists"), ("exists", "read"), ("modify", "write")]
    )


def test_a_call_is_the_child_of_what_the_program_does(watched, ann):
    with watched.tracers.get_tracer("program").start_as_current_span("step") as step:
        ann.get("plan")
        assert trace.get_current_span() is step
    (span,) = watched.spans()
    assert span.parent.span_id == step.context.span_id


def test_a_stream_is_current_only_while_it_is_read_from(watched, ann):
    records = ann.iter_records()
    for _ in records:
        assert trace.get_current_span() is trace.INVALID_SPAN
    assert watched.tree() == sorted([("", "iter_records"), ("iter_records", "scan")])
    next(ann.iter_records())
    gc.collect()
    assert watched.tree() == sorted([("", "iter_records"), ("iter_records", "scan")])


def on_a_loop(function):
    async def run():
        watched = Watched(tracking="off")
        store = AsyncDataStore(watched.store)
        ann = store.agent("ann", "planner")
        await ann.set_many({"plan": {"goal": "sell"}, "list": []})
        watched.exporter.clear()
        await function(watched, ann)
        await store.aclose()

    asyncio.run(run())


def test_an_awaited_call_is_the_parent_of_what_its_worker_does():
    async def run(watched, ann):
        await ann.set("plan", 1)
        assert watched.tree() == sorted([("", "set"), ("set", "write")])
        await ann.get("plan")
        assert watched.tree() == sorted([("", "get"), ("get", "read")])

        async def read(value):
            return await ann.get_record("list") and value

        await ann.modify("plan", read)
        assert watched.tree() == sorted(
            [
                ("", "modify"),
                ("modify", "read"),
                ("modify", "get_record"),
                ("get_record", "read"),
                ("modify", "write"),
            ]
        )
        async for _ in ann.find_records():
            assert trace.get_current_span() is trace.INVALID_SPAN  # between two records the program goes on
        assert watched.tree() == sorted([("", "find_records"), ("find_records", "scan")])

    on_a_loop(run)


def test_a_request_for_several_reads_belongs_to_the_first_of_them():
    async def run(watched, ann):
        with watched.tracers.get_tracer("program").start_as_current_span("step"):
            await asyncio.gather(ann.get("plan"), ann.exists("list"), ann.get_many(["a", "b"]))
        assert watched.tree() == sorted(
            [("", "step"), ("step", "get"), ("step", "exists"), ("step", "get_many"), ("get", "read")]
        )

    on_a_loop(run)


@pytest.mark.parametrize("name", sorted(set(CALLS) - {"lease", "lock"}))
def test_each_call_of_the_kit_is_one_span_and_ends(watched, ann, name):
    try:
        CALLS[name](ann)
    except datastore.DataStoreError as error:
        expected = type(error).__name__
    else:
        expected = None
    spans = watched.spans()
    if name == "purge_expired":  # the wrapped backend cannot, and then the kit counts
        assert spans.pop().name == "count"
        expected = "UnsupportedError"
    (span,) = spans
    assert span.name == {"in": "exists"}.get(name, name.partition("-")[0])
    assert span.attributes.get("error.type") == expected
    assert trace.get_current_span() is trace.INVALID_SPAN


def test_both_can_watch_at_once():
    events = []
    watched = Watched(on_call=events.append)
    watched.store.agent("ann", "a").set("k", 1)
    assert [event.call for event in events] == [span.name for span in watched.spans()] == ["set"]
    watched.store.close()


def test_what_opentelemetry_raises_affects_no_call_and_is_logged_once(caplog):
    class Broken(SpanExporter):
        def export(self, spans):
            raise RuntimeError("a fault of the exporter")

    class BrokenTracers(TracerProvider):
        def get_tracer(self, *args, **kwargs):
            class Tracer:
                def start_span(self, *args, **kwargs):
                    raise RuntimeError("a fault of the tracer")

            return Tracer()

    exporting = TracerProvider()
    exporting.add_span_processor(SimpleSpanProcessor(Broken()))
    for tracers in (exporting, BrokenTracers()):
        with datastore.connect("memory://", telemetry=Telemetry(tracer_provider=tracers)) as store:
            ann = store.agent("ann", "a")
            ann.set("k", 1)
            assert ann.get("k") == 1
    assert [record.message.partition(".")[0] for record in caplog.records if record.name == "datastore"] == [
        "OpenTelemetry raised an error"
    ]


def test_the_process_s_own_providers_are_used_also_if_they_are_set_later():
    """In a process of its own, because they can be set once."""
    program = textwrap.dedent(
        """
        import sys
        import datastore
        with datastore.connect("memory://") as store:
            store.agent("ann", "a").set("k", 1)
        assert not [name for name in sys.modules if name.startswith("opentelemetry")]
        store = datastore.connect("memory://", telemetry=True)
        ann = store.agent("ann", "a")
        ann.set("k", 1)
        from opentelemetry import metrics, trace
        from opentelemetry.sdk.metrics import MeterProvider
        from opentelemetry.sdk.metrics.export import InMemoryMetricReader
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import SimpleSpanProcessor
        from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
        exporter, reader, provider = InMemorySpanExporter(), InMemoryMetricReader(), TracerProvider()
        provider.add_span_processor(SimpleSpanProcessor(exporter))
        trace.set_tracer_provider(provider)
        metrics.set_meter_provider(MeterProvider(metric_readers=[reader]))
        ann.get("k")
        assert [span.name for span in exporter.get_finished_spans()] == ["get"]
        (point,) = reader.get_metrics_data().resource_metrics[0].scope_metrics[0].metrics[0].data.data_points
        assert point.attributes["db.operation.name"] == "get"
        """
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_without_opentelemetry_it_is_said_what_to_install():
    program = textwrap.dedent(
        """
        import sys
        sys.modules["opentelemetry"] = None
        import datastore
        from datastore import *
        try:
            datastore.connect("memory://", telemetry=True)
        except datastore.ConfigurationError as error:
            assert "pip install 'agent-datastore[otel]'" in str(error), error
        else:
            raise AssertionError
        """
    )
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.parametrize("wrong", [None, 1, "yes", TracerProvider()], ids=["None", "1", "yes", "a provider"])
def test_what_is_no_telemetry_is_refused(wrong):
    with pytest.raises(ConfigurationError, match=r"telemetry is an? .*; it must be True, False, or a Telemetry"):
        datastore.connect("memory://", telemetry=wrong)
