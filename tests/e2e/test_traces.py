"""A receiver of traces that is away or hangs: a service goes on, says so once, and ends as fast as ever."""

import socket
import time
from pathlib import Path

from tests.support.otlp import Receiver
from tests.support.servers import RedisServer, free_port
from tests.support.stack import Stack, until

PIXEL = "GET /v1/pixel.gif"
END_SECONDS = 5.0
"""What the end may take, where nothing but the receiver hangs."""


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
                before = len(receiver.named(PIXEL))
                count()
                assert ingest.stop() == 0
                assert len(receiver.named(PIXEL)) > before
    assert ingest.output.count("traces are not taken") == 1
    assert "Connection refused" in ingest.output
    assert '"logger": "opentelemetry' not in ingest.output


def test_a_receiver_that_never_answers_holds_nobody_up(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as hangs, RedisServer(tmp_path / "redis") as redis:
        environment = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{hangs.getsockname()[1]}",
            "OTEL_BSP_SCHEDULE_DELAY": "50",
            "OTEL_BSP_MAX_QUEUE_SIZE": "8",
            "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "4",
        }
        services = Stack(tmp_path, redis, "http://127.0.0.1:1/truycap", **environment)
        with services.service("ingest") as ingest, services.service("api") as api:
            for _ in range(40):  # more than the queue takes
                assert ingest.fetch("/v1/pixel.gif?site=hanoi&url=http://x.vn/a") == 200
            began = time.monotonic()
            assert ingest.stop() == 0
            assert time.monotonic() - began < END_SECONDS
        assert len(ingest.output.splitlines()) == 2, ingest.output  # that it runs, and that it stopped
        assert '"traces": true' in ingest.output
        assert '"traces": false' in api.output  # which makes no spans
