import socket

import pytest

from sftpd.service.notify import ServiceManager


@pytest.fixture
def systemd(tmp_path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(tmp_path / "notify"))
        sock.settimeout(30)
        yield sock


def manager(systemd, **more):
    return ServiceManager({"NOTIFY_SOCKET": systemd.getsockname(), **more})


def test_patience_gives_signs_of_life_until_the_step_is_done(systemd):
    with manager(systemd, WATCHDOG_USEC="20000").patience("reloading"):
        for _ in range(3):
            assert systemd.recv(1024) == b"WATCHDOG=1\nSTATUS=reloading"


def test_patience_is_silent_where_no_signs_are_wanted(systemd):
    unwatched = manager(systemd)
    with unwatched.patience("reloading"):
        pass
    unwatched.stopping()
    assert systemd.recv(1024).startswith(b"STOPPING=1")


def test_nothing_happens_without_a_service_manager():
    alone = ServiceManager({})
    assert alone.watchdog == 0
    alone.ready("serves")
