"""Figures for Prometheus: events counted as they are committed, and gauges read when somebody looks.

Labels name links, logs and reasons; no account, address or file is in them.
"""

import socket
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

import structlog
from prometheus_client import CollectorRegistry, Counter, Metric, ProcessCollector, make_wsgi_app
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from sftpd.errors import SftpdError
from sftpd.ledger.outbox import Event

_PATIENCE = 10.0
_log = structlog.get_logger()

EVENTS: Mapping[str, tuple[str, str, tuple[str, ...]]] = {
    "session.opened": ("sftpd_logins", "Sessions that logged in.", ()),
    "session.refused": ("sftpd_logins_refused", "Logins and sources refused.", ("reason",)),
    "session.crashed": ("sftpd_sessions_crashed", "Sessions that crashed.", ()),
    "limit.reached": ("sftpd_limits_reached", "Limits reached, once a session and limit.", ("limit",)),
    "transfer.received": ("sftpd_received_files", "Files received.", ()),
    "transfer.delivered": ("sftpd_delivered_files", "Files delivered.", ()),
    "transfer.blocked": ("sftpd_blocked_files", "Files that a gate held back.", ()),
    "transfer.failed": ("sftpd_failed_files", "Outbound files that were given up.", ()),
    "transfer.fetch_failed": ("sftpd_lost_files", "Files that a remote gave only once, and not whole.", ()),
    "expectation.at_risk": ("sftpd_expectations_at_risk", "Expected files warned of.", ()),
    "expectation.missed": ("sftpd_expectations_missed", "Expected files that did not come in time.", ()),
    "expectation.met": ("sftpd_expectations_met", "Expected files that came.", ("arrival",)),
    "receipt.matched": ("sftpd_receipts_matched", "Deliveries that have a receipt.", ("verdict",)),
    "receipt.refused": ("sftpd_receipts_refused", "Receipts that show no delivery.", ("reason",)),
    "receipt.missed": ("sftpd_receipts_missed", "Deliveries that had no receipt in time.", ()),
    "retention.frozen": ("sftpd_retention_freezes", "Times that retention was frozen.", ()),
    "erasure.due_soon": ("sftpd_erasure_reminders", "Deletion requests told of as due.", ()),
    "erasure.overdue": ("sftpd_erasure_terms_missed", "Deletion requests not answered in time.", ()),
    "order.refused": ("sftpd_orders_refused", "Orders of counterparties that do not count.", ("reason",)),
    "file.fetched": ("sftpd_fetched_files", "Files fetched by partners, in part or whole.", ()),
}
"""The counter of each type of event: its name, what it counts, and which public values are its labels."""

BYTES: Mapping[str, tuple[str, str]] = {
    "transfer.received": ("sftpd_received_bytes", "Bytes of files received."),
    "transfer.delivered": ("sftpd_delivered_bytes", "Bytes of files delivered."),
    "file.fetched": ("sftpd_fetched_bytes", "Bytes of files fetched whole by partners."),
}
"""The counter of bytes of each type of event with a size."""


@dataclass(frozen=True, slots=True)
class Figure:
    """What is read at a scrape: values by the value of `label`, or one by "" where it has none.

    Two labels, or more, are given with a space between, and so are their values.
    """

    name: str
    meaning: str
    values: Mapping[str, float]
    label: str | None = None
    counts: bool = False
    """Whether it only grows."""


Read = Callable[[], Iterable[Figure]]


class Metrics:
    """The figures of one instance since it started."""

    def __init__(self, read: Read) -> None:
        self.registry = CollectorRegistry()
        self._events = {
            type: Counter(name, meaning, ("link", *labels), registry=self.registry)
            for type, (name, meaning, labels) in EVENTS.items()
        }
        self._bytes = {
            type: Counter(name, meaning, ("link",), registry=self.registry)
            for type, (name, meaning) in BYTES.items()
        }
        self.registry.register(_Figures(read))
        ProcessCollector(registry=self.registry)

    def count(self, event: Event) -> None:
        """Count an event that was committed."""
        counter = self._events.get(event.type)
        if counter is None:
            return
        link = event.link or ""
        counter.labels(link, *(str(event.public.get(label, "")) for label in EVENTS[event.type][2])).inc()
        if event.type in self._bytes and event.public.get("complete", True):
            self._bytes[event.type].labels(link).inc(event.public.get("size", 0))


class _Figures(Collector):
    def __init__(self, read: Read) -> None:
        self._read = read

    def collect(self) -> Iterator[Metric]:
        """As Collector says."""
        for figure in self._read():
            family = CounterMetricFamily if figure.counts else GaugeMetricFamily
            labels = (figure.label or "").split()
            metric = family(figure.name, figure.meaning, labels=labels)
            for value, number in figure.values.items():
                metric.add_metric(value.split(" ", len(labels) - 1) if labels else [], number)
            yield metric


class _Handler(WSGIRequestHandler):
    timeout = _PATIENCE

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name it has there
        """Log nothing: scrapes are many."""


class MetricsServer:
    """A thread `sftpd-metrics` that answers `GET /metrics`, one request at a time."""

    def __init__(self, host: str, port: int, metrics: Metrics) -> None:
        """Raises SftpdError when the address cannot be listened on."""
        try:
            family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
            sock = socket.create_server((host, port), family=family)
        except OSError as error:
            raise SftpdError(
                f"cannot tell metrics: {error.strerror or error}",
                where=f"{host}:{port}",
                remedy="see metrics.listen in the configuration, and what else uses the port",
            ) from error
        # Made without its own bind, which asks the name service who we are.
        self._server = WSGIServer((host, port), _Handler, bind_and_activate=False)
        self._server.socket.close()
        self._server.socket = sock
        self._server.server_name, self._server.server_port = host, port
        self._server.setup_environ()
        self._server.set_app(_only_metrics(make_wsgi_app(metrics.registry)))
        self._thread = threading.Thread(target=self._server.serve_forever, name="sftpd-metrics", daemon=True)

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def stop(self) -> None:
        """Answer no more."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def _only_metrics(tell: Callable[..., Any]) -> Callable[..., Any]:
    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        if environ.get("PATH_INFO") != "/metrics" or environ.get("REQUEST_METHOD") != "GET":
            start_response("404 Not Found", [("Content-Type", "text/plain")])
            return [b"GET /metrics\n"]
        return tell(environ, start_response)

    return app
