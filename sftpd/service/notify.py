"""Readiness, status and watchdog for systemd (sd_notify(3)); without systemd nothing happens."""

import os
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import structlog

_log = structlog.get_logger()


class ServiceManager:
    """The line to systemd, where there is one."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        """`environment` is the process's: NOTIFY_SOCKET and WATCHDOG_USEC are looked for."""
        self._address = environment.get("NOTIFY_SOCKET", "")
        self.watchdog = int(environment.get("WATCHDOG_USEC", 0)) / 2_000_000
        """Seconds between two signs of life, 0 where none are wanted."""

    def ready(self, status: str) -> None:
        """The daemon serves."""
        self._send("READY=1", f"STATUS={status}", f"MAINPID={os.getpid()}")

    def reloading(self) -> None:
        """The daemon reads its configuration anew; `ready` ends it."""
        self._send("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def alive(self, status: str) -> None:
        """A sign of life."""
        self._send("WATCHDOG=1", f"STATUS={status}")

    @contextmanager
    def patience(self, status: str) -> Iterator[None]:
        """Give signs of life by a thread while a step takes as long as it takes."""
        done = threading.Event()

        def beat() -> None:
            while not done.wait(self.watchdog):
                self.alive(status)

        thread = threading.Thread(target=beat, name="sftpd-patience")
        if self.watchdog:
            thread.start()
        try:
            yield
        finally:
            done.set()
            if self.watchdog:
                thread.join()

    def stopping(self) -> None:
        """The daemon is on its way out."""
        self._send("STOPPING=1", "STATUS=draining")

    def _send(self, *lines: str) -> None:
        if not self._address:
            return
        # A leading "@" stands for the abstract namespace.
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
            try:
                sock.sendto("\n".join(lines).encode(), address)
            except OSError as error:
                # Whether it serves files does not depend on whether somebody hears that it does.
                _log.warning("service_manager_deaf", address=self._address, error=str(error))
