"""Traces from a request to the insert, where an OTLP receiver is configured (otlp.py). Elsewhere there is no tracer.

Spans, attributes and links are named after OpenTelemetry's semantic conventions for HTTP, messaging and databases
(https://opentelemetry.io/docs/specs/semconv/); what is truycap's own begins with `truycap.`. Nothing that a visitor
sends becomes an attribute or decides what is sampled: a request's own `traceparent` is not read. Of an error a span has
the type (a request: its status); what it said is in the log, under the same trace_id.
"""

import asyncio
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext

from opentelemetry.context import Context
from opentelemetry.trace import (
    INVALID_SPAN,
    Link,
    NonRecordingSpan,
    Span,
    SpanKind,
    StatusCode,
    Tracer,
    format_trace_id,
    get_current_span,
    set_span_in_context,
    use_span,
)
from opentelemetry.trace import SpanContext as SpanContext  # noqa: PLC0414 - for those who keep one, too
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from shared import log
from shared.ending import TRACES_SECONDS, within
from shared.http import Handler, Request
from shared.streams import GROUP, Entry, events_key

TRACEPARENT = "traceparent"
"""The field that a sampled entry of the stream has beside its content: https://www.w3.org/TR/trace-context/."""
_PROPAGATOR = TraceContextTextMapPropagator()
_UNTRACED: AbstractContextManager[Span] = nullcontext(INVALID_SPAN)

# One for a process, as OpenTelemetry has it.
_tracer: Tracer | None = None
_shut_down: Callable[[], None] | None = None


def endpoint() -> str | None:
    """The address that traces go to, by the standard variables; None where there is none, or tracing is off."""
    off = os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true" or os.environ.get("OTEL_TRACES_EXPORTER") == "none"
    if off:
        return None
    if traces := os.environ.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"):
        return traces
    base = os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT")
    return f"{base.removesuffix('/')}/v1/traces" if base else None


def configure(service: str) -> bool:
    """Trace this process from now on, where a receiver is configured: whether one is. SetupError where it cannot be."""
    global _tracer, _shut_down
    if where := endpoint():
        from shared.otlp import provider  # noqa: PLC0415 - the SDK, which nobody else needs

        # Ours, not OpenTelemetry's global one, to which libraries add spans by themselves: FastAPI's have the client's
        # address.
        traces = provider(service, where)
        _tracer, _shut_down = traces.get_tracer("truycap"), traces.shutdown
    return where is not None


async def stop() -> None:
    """Send what is left, for so long as the end of a process allows. Nothing is traced from now on."""
    global _tracer, _shut_down  # noqa: PLW0603
    if shut_down := _shut_down:
        _tracer = _shut_down = None
        await within(TRACES_SECONDS, asyncio.to_thread(shut_down))


def request(method: str, route: str, handler: Handler) -> Handler:
    """The handler with a span for each request of this method; the handler itself where nothing is traced."""
    if (tracer := _tracer) is None:
        return handler
    name, attributes = f"{method} {route}", {"http.request.method": method, "http.route": route}

    def traced(request: Request) -> None:
        if request.method != method:
            handler(request)
            return
        span = tracer.start_span(name, Context(), SpanKind.SERVER, attributes)
        if not span.is_recording():
            handler(request)
            return

        def answered(status: int | None) -> None:
            if status is not None:
                span.set_attribute("http.response.status_code", status)
                if status >= 500:
                    span.set_attribute("error.type", str(status))
                    span.set_status(StatusCode.ERROR)
            span.end()

        request.then = answered
        with _current(span, ends=False):
            try:
                handler(request)
            except Exception as error:  # answered here, not by the server: what is logged of it has the trace_id
                request.fail(error)

    return traced


def current() -> SpanContext | None:
    """The sampled span at hand, None where there is none."""
    if _tracer is None:
        return None
    context = get_current_span().get_span_context()
    return context if context.trace_flags.sampled else None


def publish(shard: int, events: int, requests: Sequence[SpanContext]) -> AbstractContextManager[Span]:
    """The XADD of a group commit. requests: the sampled ones in it; without any it is not traced."""
    if _tracer is None or not requests:
        return _UNTRACED
    attributes = {**_destination(shard, "publish", "send"), "truycap.events": events}
    return _current(
        _tracer.start_span("publish events", _in(requests[0]), SpanKind.PRODUCER, attributes, _links(requests[1:]))
    )


def fields(span: Span) -> dict[str, str]:
    """What an entry of the stream carries of a span: nothing where it is not sampled."""
    carrier: dict[str, str] = {}
    if span.get_span_context().trace_flags.sampled:
        _PROPAGATOR.inject(carrier, set_span_in_context(span))
    return carrier


def published(span: Span, entry: str) -> None:
    """Note the id of the entry that came of it."""
    span.set_attribute("messaging.message.id", entry)


def process(
    shard: int, batch: str, entries: Sequence[Entry], *, events: int, recovered: bool
) -> AbstractContextManager[Span]:
    """A batch on its way through the counter, in the trace of the first sampled entry, or in one of its own.

    FastStream's telemetry middleware would not do: it sees what the subscriber reads, so no batch that is recovered; it
    makes a batch no child of what it comes from; it times the pause between batches; and it wants message headers.
    """
    if _tracer is None:
        return _UNTRACED
    origins = [origin for entry in entries if (origin := _origin(entry))]
    attributes = {
        **_destination(shard, "process", "process"),
        "messaging.batch.message_count": len(entries),
        "messaging.consumer.group.name": GROUP,
        "truycap.batch": batch,
        "truycap.events": events,
        "truycap.recovered": recovered,
    }
    context = _in(origins[0]) if origins else Context()
    return _current(_tracer.start_span("process events", context, SpanKind.CONSUMER, attributes, _links(origins)))


def insert(table: str, rows: int) -> AbstractContextManager[Span]:
    """An INSERT into ClickHouse."""
    return _database(f"INSERT {table}", "clickhouse", "INSERT", {"db.collection.name": table, "truycap.rows": rows})


def script(name: str) -> AbstractContextManager[Span]:
    """A script that Redis runs."""
    return _database(f"EVAL {name}", "redis", "EVAL", {"db.stored_procedure.name": name})


def failed(span: Span, error: Exception) -> None:
    """Note what kind of error ended it."""
    span.set_attribute("error.type", type(error).__qualname__)
    span.set_status(StatusCode.ERROR)


@contextmanager
def _current(span: Span, *, ends: bool = True) -> Iterator[Span]:
    """The span is that of all that is done meanwhile, and ends with it or later; log lines have its trace_id."""
    if not span.is_recording():
        with use_span(span):
            yield span
        return
    trace_id = format_trace_id(span.get_span_context().trace_id)
    with (
        use_span(span, end_on_exit=ends, record_exception=False, set_status_on_exception=False),
        log.about(trace_id=trace_id),
    ):
        try:
            yield span
        except Exception as error:
            failed(span, error)
            raise


def _database(name: str, system: str, operation: str, attributes: dict[str, str | int]) -> AbstractContextManager[Span]:
    if _tracer is None:
        return _UNTRACED
    attributes = {"db.system.name": system, "db.operation.name": operation, **attributes}
    return _current(_tracer.start_span(name, kind=SpanKind.CLIENT, attributes=attributes))


def _destination(shard: int, operation: str, kind: str) -> dict[str, str | int]:
    return {
        "messaging.system": "redis",
        "messaging.operation.name": operation,
        "messaging.operation.type": kind,
        "messaging.destination.name": events_key(shard),
        "messaging.destination.template": "events",
        "messaging.destination.partition.id": str(shard),
    }


def _in(parent: SpanContext) -> Context:
    return set_span_in_context(NonRecordingSpan(parent), Context())


def _links(contexts: Sequence[SpanContext]) -> list[Link]:
    return [Link(context) for context in contexts]


def _origin(entry: Entry) -> SpanContext | None:
    """The span that an entry was published in, None where that was not sampled or cannot be read."""
    carried = entry.fields.get(TRACEPARENT.encode())
    if carried is None:
        return None
    context = _PROPAGATOR.extract({TRACEPARENT: carried.decode("ascii", "replace")}, Context())
    span = get_current_span(context).get_span_context()
    return span if span.is_valid and span.trace_flags.sampled else None
