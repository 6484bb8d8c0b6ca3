"""Signals reach the main thread whatever it and the other threads are doing."""

import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

BUSY = """
import os, random, signal, threading, time
from sftpd.service.signals import Signals

signals = Signals((signal.SIGHUP, signal.SIGTERM))
signal.signal(signal.SIGUSR1, lambda *_: None)

def work():
    while True:
        sum(range(200))
        if random.random() < 0.05:
            time.sleep(0.0005)

for _ in range(6):
    threading.Thread(target=work, daemon=True).start()
os.write(1, b"0")
while True:
    number = signals.wait(60)
    os.write(1, b"%d " % number)
    if number == signal.SIGTERM:
        os._exit(0)
    for _ in range(random.randrange(3000)):
        pass
"""
PATIENCE = 30.0
CHANCES = 300
"""With a handler that puts signals into a queue, one in sixty was not seen."""


@pytest.fixture
def busy() -> Iterator["subprocess.Popen[bytes]"]:
    with subprocess.Popen([sys.executable, "-c", BUSY], stdout=subprocess.PIPE, bufsize=0) as process:
        heard(process)
        yield process
        process.kill()


def heard(process: "subprocess.Popen[bytes]") -> bytes:
    assert process.stdout is not None
    ready, _, _ = select.select([process.stdout], [], [], PATIENCE)
    assert ready, "a signal was not seen"
    return process.stdout.read(100)


def test_each_signal_wakes_a_busy_process(busy: "subprocess.Popen[bytes]") -> None:
    for _ in range(CHANCES):
        busy.send_signal(signal.SIGHUP)
        assert heard(busy) == b"%d " % signal.SIGHUP


def test_other_signals_are_none_of_these(busy: "subprocess.Popen[bytes]") -> None:
    busy.send_signal(signal.SIGUSR1)
    time.sleep(0.01)
    busy.send_signal(signal.SIGTERM)
    assert heard(busy) == b"%d " % signal.SIGTERM
    assert busy.wait(PATIENCE) == 0
