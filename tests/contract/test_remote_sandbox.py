"""What a courier is left with: it reads its interpreter, writes nothing, and connects to one port."""

import os
import socket
from pathlib import Path

import msgspec
import pytest
from process_entries import Attempts, Number, Text
from sshd import free_port

from sftpd.process.pool import Children
from sftpd.process.sandbox import kernel_support
from sftpd.ssh import courier

pytestmark = pytest.mark.skipif(kernel_support().landlock_abi is None, reason="this kernel has no Landlock")


@pytest.fixture(scope="module")
def children():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.path.dirname(__file__), prepend=os.pathsep)
        with Children.start(["process_entries"]) as started:
            yield started


@pytest.fixture
def outcome(children):
    """Try one action in a courier's sandbox; returns `ok` or the exception's name."""

    def attempt(action, target, port, **options):
        limits = courier.sandbox(port, **options)
        args = msgspec.msgpack.encode(Attempts((limits,), ((action, str(target)),)))
        with children.spawn(
            "process_entries:attempt", kind="test", args=args, sandbox=None, accepts=Text | Number
        ) as child:
            return child.channel.receive(10).envelope.body.text

    return attempt


@pytest.fixture
def port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_it_connects_to_its_remotes_port_and_no_other(outcome, port):
    assert outcome("connect", port, port) == "ok"
    assert outcome("connect", port, 22) == "PermissionError"
    assert outcome("bind", 0, port) == "PermissionError"


def test_it_binds_to_ports_of_the_kernel_s_choice_where_it_must(outcome, port):
    assert outcome("bind", 0, port, binds=True) == "ok"
    assert outcome("bind", free_port(), port, binds=True) == "PermissionError"
    assert outcome("connect", 22, port, binds=True) == "PermissionError"


@pytest.mark.parametrize("place", ["/tmp", "/dev/shm", os.path.dirname(courier.__file__)])
def test_it_writes_nowhere(outcome, port, place):
    assert outcome("write", Path(place) / "left-by-a-courier", port) == "PermissionError"


def test_it_reads_neither_accounts_nor_other_files(outcome, port, tmp_path):
    (tmp_path / "file").write_text("secret")

    assert outcome("read", tmp_path / "file", port) == "PermissionError"
    assert outcome("read", "/etc/passwd", port) == "PermissionError"


def test_it_reads_what_resolves_names(outcome, port):
    assert outcome("read", "/etc/hosts", port) == "ok"
