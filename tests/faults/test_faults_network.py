"""The network is cut and heals, or loses packets; each file crosses once."""

import contextlib

import pytest
from faults_crossing import CROSSINGS, PATIENCE
from faults_disorder import endure, files, with_and_without_restart
from faults_mounts import linger
from faults_network import own_network, without
from waiting import holds

BIG = 16 << 20
LOSS = 20
SHORT = 0.5
"""Seconds that TCP bridges by itself."""


def port(crossing):
    return crossing.daemon.port if crossing.server is None else crossing.server.port


@contextlib.contextmanager
def cut_for_a_moment(crossing):
    with without(port(crossing)):
        linger(SHORT)
        yield


@contextlib.contextmanager
def cut_until_it_is_noticed(crossing):
    """Cut until sftpd gives up on the connection: a try that failed, or a session that is gone."""
    before = len(crossing.daemon.log)
    with without(port(crossing)):
        told = ("delivery_failed", "job_failed")
        assert holds(lambda: any(word in crossing.daemon.log[before:] for word in told), PATIENCE)
        yield


@contextlib.contextmanager
def lossy(crossing):
    with without(port(crossing), percent=LOSS):
        yield
        holds(lambda: not crossing.left(), PATIENCE)


CASES = [
    *((flow, fault) for flow in ("remote", "upload", "pull") for fault in (cut_for_a_moment, lossy)),
    *((flow, cut_until_it_is_noticed) for flow in ("remote", "pull")),
]
CHOSEN = [("remote", cut_until_it_is_noticed)]


@with_and_without_restart
@pytest.mark.parametrize(
    ("flow", "fault"),
    [pytest.param(*case, marks=() if case in CHOSEN else pytest.mark.soak) for case in CASES],
    ids=[f"{flow}-{fault.__name__}" for flow, fault in CASES],
)
def test_files_cross_once_over_a_network_that_fails(flow, fault, restart, tmp_path, tally):
    with own_network(), CROSSINGS[flow](tmp_path) as crossing:
        patient = crossing.daemon.link_config.read_text()
        crossing.daemon.link_config.write_text(patient.replace("connect_timeout = 10", "connect_timeout = 2"))
        crossing.daemon.start()
        endure(crossing, files(crossing, "net", big=BIG), fault, tally, restart=restart)
