"""OpenTelemetry: the spans of requests come to a collector over HTTP, and hold nothing personal."""

from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.telemetry.support import Watched, wait_until, watched

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


class Collector:
    """Takes OTLP over HTTP."""

    def __init__(self) -> None:
        self.spans: list[Span] = []
        self.received = b""
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                collector.received += body
                if self.path == "/v1/traces":
                    sent = ExportTraceServiceRequest.FromString(body)
                    collector.spans += [
                        span for each in sent.resource_spans for scope in each.scope_spans for span in scope.spans
                    ]
                self.send_response(200)
                self.end_headers()

            def log_message(self, *arguments: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"


@pytest.fixture
def collector() -> Iterator[Collector]:
    collector = Collector()
    Thread(target=collector.server.serve_forever, daemon=True).start()
    yield collector
    collector.server.shutdown()
    collector.server.server_close()


def attributes(span: Span) -> dict[str, str]:
    return {each.key: each.value.string_value for each in span.attributes}


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
class TestTracing:
    def test_a_request_is_a_span_of_the_trace_that_it_came_with(
        self, migrated: str, tmp_path: Path, collector: Collector
    ) -> None:
        switches = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "OTEL_BSP_SCHEDULE_DELAY": "200"}
        with watched(Watched(migrated, tmp_path, {"LOG_FORMAT": "json", **switches})) as service:
            parent = {"traceparent": f"00-{TRACE}-{PARENT}-01"}
            httpx.get(f"{service.url}/users/by-email/personal@example.com?marked=personal", headers=parent)
            httpx.get(f"{service.url}/personal")
            httpx.get(f"{service.url}/products/5", headers=parent)

            def has_come() -> bool:
                return any(attributes(each).get("url.path") == "/products/5" for each in collector.spans)

            wait_until(has_come, f"the spans came: {service.last_words()}")
            (product,) = [each for each in collector.spans if attributes(each).get("url.path") == "/products/5"]
            assert (product.trace_id.hex(), product.parent_span_id.hex()) == (TRACE, PARENT)
            assert product.name == "GET /products/{id}"
            assert attributes(product)["http.route"] == "/products/{id}"
            assert b"personal" not in collector.received
            (unknown,) = [each for each in service.requests() if each["route"] == "unknown"]
            assert unknown["trace_id"] in {each.trace_id.hex() for each in collector.spans}

    def test_a_collector_that_is_away_does_not_keep_the_shop_from_serving(self, migrated: str, tmp_path: Path) -> None:
        with watched(Watched(migrated, tmp_path, {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"})) as service:
            assert httpx.get(f"{service.url}/health").status_code == 200
