"""Every metric that there is. Each has labels with few values: no id, no path and nothing that a client makes up."""

from enum import StrEnum
from typing import Literal

from prometheus_client import Counter, Gauge, Histogram

Mode = Literal["livesum", "livemax"]

SECONDS = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
"""From a product by id to the deadline of a request."""


class Cause(StrEnum):
    """Why a transaction was run again, or a request refused with 503."""

    DEADLOCK = "deadlock"
    CHANGED_MEANWHILE = "changed_meanwhile"
    LOCK_TIMEOUT = "lock_timeout"
    CONNECTION = "connection"
    SESSION = "session"
    SLUG = "slug"
    POOL = "pool"
    WRITE_SLOTS = "write_slots"
    CONNECTIONS_OF_SERVER = "connections_of_server"
    SCHEMA = "schema"
    DEADLINE = "deadline"
    DATABASE = "database"
    OTHER = "other"


class Instruments:
    """The metrics of one process. A gauge is of processes that are alive; a counter counts on when one is replaced."""

    def __init__(self) -> None:
        self.requests = _histogram(
            "shop_request_seconds", "From a request to the last byte of its answer.", "method", "route", "status"
        )
        self.requests_in_progress = _gauge("shop_requests_in_progress", "Requests that are not answered yet.")
        self.retries = _counter("shop_transaction_retries", "Transactions that were run again.", "cause")
        self.unavailable = _counter("shop_unavailable", "Answers with 503.", "cause")
        self.events = _counter("shop_events", "What happened, and was committed: orders placed and so on.", "type")
        self.payments = _counter("shop_payments_amount", "Money that was received, in the currency of the shop.")
        self.refunds = _counter("shop_refunds_amount", "Money that was given back, in the currency of the shop.")
        self.failures = _counter("shop_worker_failures", "Jobs and duties of the worker that failed.", "name")

        self.pool_size = _gauge("shop_pool_connections", "Connections that the pool may have.")
        self.pool_in_use = _gauge("shop_pool_in_use", "Connections of the pool that are in use.")
        self.pool_waiting = _gauge("shop_pool_waiting", "What waits for a connection.")
        self.write_slots = _gauge("shop_write_slots", "Writes that may run at once.")
        self.write_slots_in_use = _gauge("shop_write_slots_in_use", "Writes that run.")
        self.write_slots_waiting = _gauge("shop_write_slots_waiting", "Writes that wait for their turn.")
        self.backlog = _gauge("shop_backlog_rows", "Rows that wait to be sent or placed.", "queue", mode="livemax")
        self.backlog_age = _gauge(
            "shop_backlog_seconds",
            "Seconds for which the first that could be sent has waited.",
            "queue",
            mode="livemax",
        )

        self.processes = _gauge("shop_processes", "Processes that are alive.")
        self.cpu = _counter("shop_cpu_seconds", "Time that processors worked for the processes.")
        self.memory = _gauge("shop_memory_bytes", "Resident memory.")
        for cause in Cause:  # a counter that appears with its first count has not risen to Prometheus
            self.retries.labels(cause)
            self.unavailable.labels(cause)
        self.lag = _gauge("shop_event_loop_lag_seconds", "How late the event loop was.", mode="livemax")


def _counter(name: str, what: str, *labels: str) -> Counter:
    return Counter(name, what, labels, registry=None)


def _histogram(name: str, what: str, *labels: str) -> Histogram:
    return Histogram(name, what, labels, buckets=SECONDS, registry=None)


def _gauge(name: str, what: str, *labels: str, mode: Mode = "livesum") -> Gauge:
    return Gauge(name, what, labels, registry=None, multiprocess_mode=mode)
