"""A remote refuses to rename, fills up, closes again and again or lies about sizes, and then does not."""

import contextlib

import pytest
from faults_crossing import Pull, ToRemote
from faults_disorder import STILL, endure, files, with_and_without_restart
from faults_mounts import full, linger
from mounts import small
from odd_server import odd_server

BIG = 8 << 20
ROOM = 24
"""MiB that the remote has."""


@contextlib.contextmanager
def refuses_to_rename(crossing):
    """OpenSSH does so when told to; a file that it took is not placed meanwhile."""
    server = crossing.server
    granted = server.config.read_text()
    refusing = granted.replace("internal-sftp", "internal-sftp -P rename,posix-rename")
    assert refusing != granted
    with restarted_with(server, refusing, granted):
        yield
        assert crossing.shore.taken == {}


@contextlib.contextmanager
def restarted_with(server, config, after):
    server.kill()
    server.config.write_text(config)
    server.start()
    try:
        yield
    finally:
        server.kill()
        server.config.write_text(after)
        server.start()


@contextlib.contextmanager
def closes_again_and_again(crossing):
    for _ in range(3):
        linger(STILL / 2)
        crossing.server.kill()
        crossing.server.start()
    yield


@contextlib.contextmanager
def fills_up(crossing):
    with full(crossing.server.root):
        yield


@with_and_without_restart
@pytest.mark.parametrize(
    ("flow", "fault", "early", "told"),
    [
        (ToRemote, refuses_to_rename, True, "PERMISSION_DENIED"),
        pytest.param(ToRemote, closes_again_and_again, False, "", marks=pytest.mark.soak),
        pytest.param(Pull, closes_again_and_again, False, "", marks=pytest.mark.soak),
    ],
)
def test_files_cross_once_though_the_remote_misbehaved(flow, fault, early, told, restart, tmp_path, tally):
    with flow(tmp_path) as crossing:
        content = files(crossing, "remote", big=BIG)
        endure(crossing, content, fault, tally, early=early, told=told, restart=restart)


@with_and_without_restart
@pytest.mark.soak
def test_files_cross_once_though_the_remote_was_full(restart, tmp_path, tally):
    with contextlib.ExitStack() as stack:
        crossing = ToRemote(tmp_path)
        stack.enter_context(small(crossing.server.root, ROOM))
        stack.enter_context(crossing)
        content = files(crossing, "full", big=BIG)
        endure(crossing, content, fills_up, tally, early=True, told="delivery_failed", restart=restart)


@with_and_without_restart
@pytest.mark.parametrize("difference", [pytest.param(-1, marks=pytest.mark.soak), 1])
@pytest.mark.parametrize(
    ("flow", "told"),
    [(ToRemote, "bytes were sent, the server has"), (Pull, "remote_file_left")],
)
def test_files_cross_once_though_the_remote_lied_about_sizes(
    flow, told, difference, restart, tmp_path, tally
):
    with odd_server(tmp_path / "liar") as (server, odd):

        class Lied(flow):
            def _own_server(self):
                self.server = server
                return server

        @contextlib.contextmanager
        def lies(crossing):
            odd.lie = lambda size: max(0, size + difference)
            try:
                yield
            finally:
                odd.lie = int

        with Lied(tmp_path) as crossing:
            content = files(crossing, "lie")
            endure(crossing, content, lies, tally, early=True, told=told, restart=restart)
