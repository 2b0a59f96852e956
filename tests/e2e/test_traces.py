"""A receiver of traces that is away: a service goes on, says so once, and sends what it has when it ends."""

from pathlib import Path

from tests.support.otlp import Receiver
from tests.support.servers import RedisServer, free_port
from tests.support.stack import Stack, until

POST = "GET /v1/pixel.gif"


def test_a_receiver_that_is_away_costs_its_traces_and_one_line(tmp_path: Path) -> None:
    port = free_port()
    environment = {
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": f"http://127.0.0.1:{port}/v1/traces",
        "OTEL_EXPORTER_OTLP_TIMEOUT": "2",
        "OTEL_BSP_SCHEDULE_DELAY": "50",
    }
    with RedisServer(tmp_path / "redis") as redis:
        services = Stack(tmp_path, redis, "http://127.0.0.1:1/truycap", **environment)
        with services.service("ingest") as ingest:

            def count() -> None:
                assert ingest.fetch("/v1/pixel.gif?site=hanoi&url=http://x.vn/a") == 200

            count()
            until(lambda: "traces are not taken" in ingest.output, "the first is dropped")
            with Receiver(port) as receiver:

                def arrives() -> bool:
                    count()
                    return "traces are taken again" in ingest.output

                until(arrives, "the receiver has them")
                before = len(receiver.named(POST))
                count()
                assert ingest.stop() == 0
                assert len(receiver.named(POST)) > before
    assert ingest.output.count("traces are not taken") == 1
    assert "Connection refused" in ingest.output
    assert '"logger": "opentelemetry' not in ingest.output
