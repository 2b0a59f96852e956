"""What is traced of groups and batches, and that of errors and visitors nothing is."""

import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import INVALID_SPAN, SpanContext, StatusCode, TraceFlags

from services.counter.consume import BatchCounter
from shared import otlp, tracing
from shared.errors import SetupError
from shared.http import Request
from shared.streams import Entry, EntryId
from tests.support.asked import Way, asked
from tests.support.batches import batch_of, view
from tests.support.counting import SITES

FIRST = SpanContext(1, 11, is_remote=False, trace_flags=TraceFlags(TraceFlags.SAMPLED))
SECOND = SpanContext(2, 22, is_remote=False, trace_flags=TraceFlags(TraceFlags.SAMPLED))
ENDPOINT = "http://collector:4318/v1/traces"


class Spans:
    """The spans that have ended."""

    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()

    @property
    def only(self) -> Any:
        (span,) = self.exporter.get_finished_spans()
        return span


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> Iterator[Spans]:
    spans = Spans()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(spans.exporter))
    monkeypatch.setattr(tracing, "_tracer", provider.get_tracer("test"))
    yield spans
    provider.shutdown()


def entry(number: int, traceparent: bytes | None = None) -> Entry:
    return Entry(EntryId(number, 0), {} if traceparent is None else {b"traceparent": traceparent})


def entry_of(context: SpanContext, flags: int = 1) -> Entry:
    return entry(1, f"00-{context.trace_id:032x}-{context.span_id:016x}-{flags:02x}".encode())


def process(*entries: Entry, recovered: bool = False) -> None:
    with tracing.process(3, "3:abc", entries, events=7, recovered=recovered):
        pass


def links(span: ReadableSpan) -> list[int]:
    return [link.context.span_id for link in span.links]


def trace_id(span: ReadableSpan) -> str:
    return f"{span.context.trace_id:032x}" if span.context else ""


def answer_202(request: Request) -> None:
    request.answer(202)


def test_a_group_is_a_child_of_its_first_request_and_linked_to_the_others(spans: Spans) -> None:
    with tracing.publish(3, 9, [FIRST, SECOND]) as span:
        assert tracing.fields(span)["traceparent"].startswith(f"00-{1:032x}-")
        tracing.published(span, "5-0")
    assert (spans.only.parent.span_id, links(spans.only)) == (11, [22])
    assert spans.only.attributes["messaging.message.id"] == "5-0"
    assert spans.only.attributes["truycap.events"] == 9


def test_a_group_without_a_sampled_request_is_not_traced(spans: Spans) -> None:
    with tracing.publish(3, 9, []) as span:
        assert tracing.fields(span) == {}
    assert not spans.exporter.get_finished_spans()


def test_a_batch_is_in_the_trace_of_its_first_sampled_entry_and_linked_to_all(spans: Spans) -> None:
    unsampled = SpanContext(9, 99, is_remote=False)
    process(entry(0), entry_of(unsampled, flags=0), entry_of(FIRST), entry_of(SECOND), recovered=True)
    assert (spans.only.context.trace_id, spans.only.parent.span_id, links(spans.only)) == (1, 11, [11, 22])
    assert spans.only.attributes["truycap.recovered"] is True
    assert spans.only.attributes["messaging.batch.message_count"] == 4


@pytest.mark.parametrize("garbage", [b"", b"\xff", b"00-" + b"0" * 32 + b"-" + b"0" * 16 + b"-01", b"x" * 10_000])
def test_a_batch_whose_entries_say_nothing_readable_has_a_trace_of_its_own(spans: Spans, garbage: bytes) -> None:
    process(entry(0, garbage))
    assert spans.only.parent is None
    assert links(spans.only) == []


def test_a_request_has_no_parent_and_only_one_of_the_method_is_traced(spans: Spans) -> None:
    handler = tracing.request("POST", "/v1/events", answer_202)
    for method in ("POST", "OPTIONS"):
        way = Way()
        handler(asked(way, "/v1/events", method))
        assert way.status == 202
    assert (spans.only.name, spans.only.parent) == ("POST /v1/events", None)
    assert dict(spans.only.attributes) == {
        "http.request.method": "POST",
        "http.route": "/v1/events",
        "http.response.status_code": 202,
    }


def test_of_an_error_a_span_has_the_type_and_nothing_that_it_says(spans: Spans) -> None:
    with pytest.raises(ValueError, match="a visitor"), tracing.insert("events", 5):
        raise ValueError("what a visitor sent")
    assert spans.only.status.status_code is StatusCode.ERROR
    assert (spans.only.attributes["error.type"], spans.only.events) == ("ValueError", ())
    assert "visitor" not in spans.only.to_json()


def test_lines_of_the_log_have_the_trace_of_the_span_that_they_are_in(spans: Spans) -> None:
    with tracing.publish(3, 9, [FIRST]), tracing.insert("events", 5):
        assert structlog.contextvars.get_contextvars() == {"trace_id": f"{1:032x}"}
    assert structlog.contextvars.get_contextvars() == {}


def test_a_request_that_is_answered_later_is_traced_until_then(spans: Spans) -> None:
    request = asked(Way(), "/v1/events", "POST")
    tracing.request("POST", "/v1/events", lambda _: None)(request)
    assert not spans.exporter.get_finished_spans()
    request.answer(503)
    assert spans.only.status.status_code is StatusCode.ERROR
    assert spans.only.attributes["http.response.status_code"] == 503


def test_a_request_that_fails_is_answered_and_logged_within_its_trace(spans: Spans) -> None:
    def fails(_: Request) -> None:
        raise ValueError("what a visitor sent")

    way = Way()
    with structlog.testing.capture_logs([structlog.contextvars.merge_contextvars]) as lines:
        tracing.request("POST", "/v1/events", fails)(asked(way, "/v1/events", "POST"))
    assert way.status == 500
    assert [(line["event"], line["trace_id"]) for line in lines] == [("request failed", trace_id(spans.only))]
    assert (spans.only.status.status_code, spans.only.attributes["error.type"]) == (StatusCode.ERROR, "500")


async def test_why_a_batch_is_not_counted_is_logged_within_its_trace(spans: Spans) -> None:
    class Away:
        def eval(self, *_: object) -> None:
            raise ConnectionError("Redis is away")

    anything: Any = None
    redis: Any = Away()
    batches = BatchCounter(redis, anything, SITES, ceiling=0, epoch=1, recent=anything, expired={}, guard=anything)
    with (
        structlog.testing.capture_logs([structlog.contextvars.merge_contextvars]) as lines,
        pytest.raises(ConnectionError),
    ):
        await batches.count(batch_of([view()]))
    assert [(line["error"], line["trace_id"]) for line in lines] == [
        ("ConnectionError: Redis is away", trace_id(spans.only))
    ]


def test_where_nothing_is_traced_a_handler_stays_itself() -> None:
    assert tracing.request("POST", "/v1/events", answer_202) is answer_202
    assert tracing.current() is None
    assert tracing.fields(INVALID_SPAN) == {}
    process(entry_of(FIRST))


@pytest.mark.parametrize(
    ("environment", "endpoint"),
    [
        ({}, None),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": ""}, None),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318/"}, ENDPOINT),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://x/y", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://z"}, "http://x/y"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://z", "OTEL_SDK_DISABLED": "True"}, None),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://z", "OTEL_TRACES_EXPORTER": "none"}, None),
    ],
)
def test_the_standard_variables_name_the_receiver(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], endpoint: str | None
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert tracing.endpoint() == endpoint


@pytest.mark.parametrize(("endpoint", "protocol"), [("collector:4317", ""), ("http://user:secret@c:4317", "grpc")])
def test_what_cannot_be_sent_to_is_said(monkeypatch: pytest.MonkeyPatch, endpoint: str, protocol: str) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)
    with pytest.raises(SetupError, match="4318") as refused:
        otlp.provider("ingest", endpoint)
    assert "secret" not in refused.value.message


def test_a_receiver_that_fails_again_and_again_is_said_once() -> None:
    class Fails(SpanExporter):
        fails = True

        def export(self, _: object) -> SpanExportResult:
            if not self.fails:
                return SpanExportResult.SUCCESS
            logging.getLogger("opentelemetry.exporter.otlp").warning("Transient error %s", "Connection refused")
            logging.getLogger("opentelemetry.exporter.otlp").error("Failed to export")
            return SpanExportResult.FAILURE

    with structlog.testing.capture_logs() as lines:
        exporter = Fails()
        said_once = otlp._SaysSoOnce(exporter, ENDPOINT)
        for exporter.fails in (True, True, True, False, False, True):
            said_once.export([])
    assert [line["event"] for line in lines] == [
        "traces are not taken and are dropped",
        "traces are taken again",
        "traces are not taken and are dropped",
    ]
    assert lines[0]["error"] == "Transient error Connection refused"
