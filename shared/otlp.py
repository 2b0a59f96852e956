"""Where traces go: an OTLP receiver, over HTTP. This module alone imports OpenTelemetry's SDK.

The standard variables are read by the SDK itself: OTEL_TRACES_SAMPLER, OTEL_SERVICE_NAME, OTEL_RESOURCE_ATTRIBUTES,
OTEL_BSP_*, OTEL_EXPORTER_OTLP_HEADERS and their like
(https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/).
"""

import logging
import os
from collections.abc import Sequence
from importlib.metadata import version

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, OTELResourceDetector, Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

from shared import log
from shared.errors import SetupError, redacted

_PROTOCOL = "http/protobuf"

logger = log.get(__name__)


def provider(service: str, endpoint: str) -> TracerProvider:
    """What makes spans and sends them in the background. SetupError where that endpoint cannot be sent to.

    A receiver that is slow or dead costs spans and nothing else: beyond OTEL_BSP_MAX_QUEUE_SIZE they are dropped.
    """
    protocol = os.environ.get("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL") or os.environ.get("OTEL_EXPORTER_OTLP_PROTOCOL")
    if (protocol or _PROTOCOL) != _PROTOCOL or not endpoint.startswith(("http://", "https://")):
        raise SetupError(
            f"Traces go over {_PROTOCOL} to an http:// or https:// address, not over {protocol or _PROTOCOL} to "
            f"{redacted(endpoint)}. Set OTEL_EXPORTER_OTLP_ENDPOINT to the receiver's HTTP port, as a rule 4318."
        )
    ours = Resource.create({SERVICE_NAME: f"truycap-{service}", SERVICE_VERSION: version("truycap")})
    traces = TracerProvider(resource=ours.merge(OTELResourceDetector().detect()), shutdown_on_exit=False)
    traces.add_span_processor(BatchSpanProcessor(_SaysSoOnce(OTLPSpanExporter(endpoint), redacted(endpoint))))
    return traces


class _SaysSoOnce(SpanExporter):
    """The exporter, with one line in the log when the receiver fails and one when it takes spans again.

    By itself it writes several a minute for as long as that lasts.
    """

    def __init__(self, exporter: SpanExporter, endpoint: str) -> None:
        self._exporter = exporter
        self._outage = log.Outage(
            logger.bind(endpoint=endpoint), "traces are not taken and are dropped", "traces are taken again"
        )
        self._words = _FirstWords()
        library = logging.getLogger("opentelemetry.exporter")
        library.propagate = False
        library.addHandler(self._words)
        # "Queue full", again and again. The name is private: so in 1.45; tests/e2e/test_traces.py fails for another.
        logging.getLogger("opentelemetry.sdk._shared_internal").setLevel("ERROR")

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self._words.said = ""
        result = self._exporter.export(spans)
        if result is SpanExportResult.SUCCESS:
            self._outage.over()
        else:
            self._outage.failed(self._words.said)
        return result

    def shutdown(self) -> None:
        self._exporter.shutdown()


class _FirstWords(logging.Handler):
    """What the library said first, which is the cause; all else it says follows from that."""

    said = ""

    def emit(self, record: logging.LogRecord) -> None:
        self.said = self.said or record.getMessage()
