"""What a server tells about itself to Prometheus, in a registry of its own."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

BUCKETS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60)
ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)


class Telemetry:
    """The numbers of a server; times are in seconds."""

    def __init__(self) -> None:
        self.registry = own = CollectorRegistry()
        self.requests = Counter("serving_requests", "Requests.", ["route", "method", "code"], registry=own)
        self.seconds = Histogram("serving_request_seconds", "Head to answer.", ["route"], buckets=BUCKETS, registry=own)
        self.errors = Counter("serving_errors", "Requests that got no answer.", ["code"], registry=own)
        self.predictions = Counter("serving_predictions", "Rows that were answered.", ["signature"], registry=own)
        self.model_seconds = Histogram(
            "serving_model_seconds", "The model's share, a batch.", ["signature"], buckets=BUCKETS, registry=own
        )
        self.batch_rows = Histogram("serving_batch_rows", "Of a batch.", ["signature"], buckets=ROWS, registry=own)
        self.queued = Gauge("serving_queued_rows", "Rows that wait for the model.", registry=own)
        self.version = Gauge("serving_version_info", "Which answers.", ["model", "version", "digest"], registry=own)
        self.switches = Counter("serving_version_switches", "Versions that took over from another.", registry=own)
        self.refused = Counter("serving_versions_refused", "Versions that could not be served.", registry=own)
        self.ready = Gauge("serving_ready", "1 while requests are welcome.", registry=own)

    def watch_queue(self, rows: Callable[[], float]) -> None:
        """Has the queue's length read when somebody asks for it."""
        self.queued.set_function(rows)

    def serves(self, model: str, version: int, digest: str) -> None:
        """Tells which version answers from now on."""
        self.version.clear()
        self.version.labels(model, str(version), digest).set(1)

    def text(self) -> bytes:
        """Returns all numbers in Prometheus' text format."""
        return generate_latest(self.registry)
