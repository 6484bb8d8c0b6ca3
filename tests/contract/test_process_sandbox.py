import os
import socket
from pathlib import Path

import msgspec
import pytest
from process_entries import Attempts, Number, Text

from sftpd.process.pool import Children
from sftpd.process.sandbox import Applied, Sandbox, interpreter_paths, kernel_support

TESTS = Path(__file__).parent
DENIED = "PermissionError"


@pytest.fixture(scope="module")
def children():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(TESTS), prepend=os.pathsep)
        with Children.start(["process_entries"]) as started:
            yield started


@pytest.fixture
def outcomes(children):
    """Try actions under sandboxes, each narrowing the one before; returns the outcomes in order."""

    def attempt(actions, *sandboxes):
        args = msgspec.msgpack.encode(Attempts(sandboxes, tuple(actions)))
        with children.spawn(
            "process_entries:attempt", kind="test", args=args, sandbox=None, accepts=Text | Number
        ) as child:
            count = len(sandboxes) * len(actions)
            return [child.channel.receive(10).envelope.body.text for _ in range(count)]

    return attempt


@pytest.fixture
def tree(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name / "sub").mkdir(parents=True)
        (tmp_path / name / "file").write_text(name)
    return tmp_path


@pytest.fixture
def port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_only_what_is_named_can_be_read(outcomes, tree):
    tries = [("read", str(tree / "a/file")), ("read", str(tree / "b/file")), ("read", "/etc/passwd")]
    assert outcomes(tries, Sandbox(read=(str(tree / "a"),))) == ["ok", DENIED, DENIED]


def test_a_single_file_can_be_named(outcomes, tree):
    tries = [("read", str(tree / "a/file")), ("write", str(tree / "a/file"))]
    assert outcomes(tries, Sandbox(read=(str(tree / "a/file"),))) == ["ok", DENIED]


def test_only_writable_folders_can_be_written_and_moved_within(outcomes, tree):
    a, b = tree / "a", tree / "b"
    tries = [("write", str(a / "new")), ("move", str(a / "sub/new")), ("write", str(b / "file"))]
    assert outcomes(tries, Sandbox(read=(str(b),), write=(str(a),))) == ["ok", "ok", DENIED]


def test_a_link_out_of_a_writable_folder_leads_nowhere(outcomes, tree):
    (tree / "a/link").symlink_to(tree / "b/file")
    assert outcomes([("read", str(tree / "a/link"))], Sandbox(write=(str(tree / "a"),))) == [DENIED]


def test_a_second_sandbox_narrows_and_cannot_widen(outcomes, tree):
    tries = [("read", str(tree / "a/file")), ("read", str(tree / "b/file"))]
    wide, narrow = Sandbox(read=(str(tree),)), Sandbox(read=(str(tree / "a"),))
    assert outcomes(tries, wide, narrow, wide) == ["ok", "ok", "ok", DENIED, "ok", DENIED]


def test_tcp_is_denied_but_to_named_ports(outcomes, port):
    tries = [("connect", str(port)), ("bind", "0")]
    assert outcomes(tries, Sandbox()) == [DENIED, DENIED]
    assert outcomes(tries, Sandbox(connect_ports=(port,))) == ["ok", DENIED]
    assert outcomes(tries, Sandbox(connect_ports=None)) == ["ok", "ok"]


def test_no_unix_socket_leads_out(outcomes, tree, port):
    stream, datagram = str(tree / "stream"), str(tree / "datagram")
    with socket.socket(socket.AF_UNIX) as one, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:
        one.bind(stream)
        one.listen()
        other.bind(datagram)
        tries = [("unix", stream), ("pair", datagram), ("send", str(port))]
        assert outcomes(tries, Sandbox()) == [DENIED, DENIED, DENIED]
        assert outcomes(tries, Sandbox(connect_ports=(port,))) == [DENIED, DENIED, "ok"]
        assert outcomes(tries, Sandbox(connect_ports=None)) == ["ok", "ok", "ok"]


def test_limits_and_modes_of_others_stay(outcomes, tree):
    tries = [("limit", "0"), ("limit", str(os.getpid())), ("chmod", str(tree / "a/file"))]
    assert outcomes(tries, Sandbox()) == ["ok", DENIED, DENIED]


def test_processes_outside_cannot_be_signalled(outcomes):
    assert outcomes([("signal", str(os.getpid()))], Sandbox()) == [DENIED]


def test_memory_is_limited(outcomes):
    tries = [("allocate", str(1 << 20)), ("allocate", str(1 << 30))]
    assert outcomes(tries, Sandbox(memory=256 << 20)) == ["ok", "MemoryError"]


def test_descriptors_are_limited(outcomes):
    assert outcomes([("open_many", "10"), ("open_many", "62")], Sandbox(files=64)) == ["ok", "OSError"]


def test_python_still_runs_on_what_the_interpreter_needs(children):
    sandbox = Sandbox(read=interpreter_paths(), write=("/dev/null",))
    with children.spawn("test_process_sandbox:run_python", kind="test", sandbox=sandbox) as child:
        assert child.wait(30).well, child.ended.cause


def run_python(sock, args, fds):
    import decimal  # noqa: F401  (not loaded by the zygote)
    import xml.dom.minidom  # noqa: F401
    import zoneinfo

    zoneinfo.ZoneInfo("Europe/Amsterdam")
    os.urandom(8)
    Path("/dev/null").write_bytes(b"x")


def test_a_path_that_does_not_exist_stops_the_child(children):
    with children.spawn("process_entries:echo", kind="test", sandbox=Sandbox(read=("/nowhere",))) as child:
        assert "/nowhere" in child.wait(10).cause


@pytest.mark.parametrize("applied", [Applied(None), Applied(1), Applied(5), Applied(6, filters=False)])
def test_what_an_old_kernel_leaves_open_is_said(applied):
    assert applied.unprotected


def test_this_kernel_protects_everything():
    assert kernel_support().unprotected is None
