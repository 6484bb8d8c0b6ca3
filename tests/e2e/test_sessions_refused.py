"""What the server is not: no shell, no commands, no forwarding; and how it names itself."""

import socket
import subprocess
from collections.abc import Iterator

import paramiko
import pytest
import sshd
from daemon import PATIENCE, Daemon, eventually
from waiting import holds

from sftpd import __version__


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    made = Daemon(tmp_path_factory.mktemp("refused") / "instance")
    made.configure("server", "penalties = false", "unauthenticated_per_address = 30")
    with made as running:
        yield running


def ssh(daemon: Daemon, *words: str) -> list[str]:
    where = ["-p", str(daemon.port), f"{daemon.user}@{daemon.host}"]
    return ["ssh", *daemon.ssh_options(), *where, *words]


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("id",),
        ("-tt",),
        ("-tt", "id"),
        ("/usr/lib/openssh/sftp-server",),
        ("-s", "shell"),
        ("-X", "id"),
        ("-A", "id"),
    ],
    ids=" ".join,
)
def test_shell_commands_and_other_subsystems_are_refused(daemon: Daemon, words: tuple[str, ...]) -> None:
    options = [word for word in words if word.startswith("-") and word != "-s"]
    rest = [word for word in words if word not in options]
    argv = ["ssh", *options, *ssh(daemon, *rest)[1:]]
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode != 0
    assert done.stdout == ""
    assert "uid=" not in done.stderr


@pytest.mark.parametrize("direction", ["-L", "-D"])
def test_nothing_is_forwarded_from_the_client(daemon: Daemon, direction: str) -> None:
    port = sshd.free_port()
    spec = f"127.0.0.1:{port}" + (f":127.0.0.1:{daemon.port}" if direction == "-L" else "")
    tunnel = subprocess.Popen(
        [*ssh(daemon)[:1], "-N", direction, spec, *ssh(daemon)[1:]], stderr=subprocess.PIPE, text=True
    )
    try:
        assert holds(lambda: accepts(port))
        with socket.create_connection(("127.0.0.1", port), PATIENCE) as through:
            if direction == "-D":
                through.sendall(b"\x05\x01\x00")
                assert through.recv(2) == b"\x05\x00"
                through.sendall(b"\x05\x01\x00\x01\x7f\x00\x00\x01" + daemon.port.to_bytes(2, "big"))
            assert b"SSH-2.0" not in read_all(through)
    finally:
        tunnel.kill()
        assert tunnel.stderr is not None
        said = tunnel.stderr.read()
        tunnel.stderr.close()
        tunnel.wait()
    assert "administratively prohibited" in said


def test_no_port_is_opened_for_the_client(daemon: Daemon) -> None:
    port = sshd.free_port()
    argv = [
        *ssh(daemon)[:1],
        "-N",
        "-o",
        "ExitOnForwardFailure=yes",
        "-R",
        f"{port}:127.0.0.1:22",
        *ssh(daemon)[1:],
    ]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 255
    assert "remote port forwarding failed" in done.stderr


@pytest.mark.parametrize("request_", ["get_pty", "invoke_shell", "request_x11"])
def test_channel_requests_but_sftp_are_refused(daemon: Daemon, request_: str) -> None:
    with (
        daemon.connected() as transport,
        transport.open_session() as channel,
        pytest.raises((paramiko.SSHException, EOFError)),
    ):
        getattr(channel, request_)()


@pytest.mark.parametrize("kind", ["auth-agent-req@openssh.com", "env", "signal", "window-change"])
def test_other_channel_requests_are_refused(daemon: Daemon, kind: str) -> None:
    with daemon.connected() as transport, transport.open_session() as channel:
        request = paramiko.Message()
        request.add_byte(bytes([98]))  # CHANNEL_REQUEST
        request.add_int(channel.remote_chanid)
        request.add_string(kind)
        request.add_boolean(True)
        if kind == "env":
            request.add_string("LANG")
            request.add_string("C")
        channel._event_pending()
        transport._send_user_message(request)
        with pytest.raises(paramiko.SSHException, match=r"closed|failed"):
            channel._wait_for_event()


@pytest.mark.parametrize(
    "kind", ["direct-tcpip", "x11", "forwarded-tcpip", "auth-agent@openssh.com", "tun@openssh.com"]
)
def test_channels_but_sessions_are_refused(daemon: Daemon, kind: str) -> None:
    address = ("127.0.0.1", daemon.port)
    with (
        daemon.connected() as transport,
        pytest.raises(paramiko.ChannelException, match=r"prohibited|Unknown"),
    ):
        transport.open_channel(kind, address, address)


def test_the_identification_is_exact_and_always_the_same(daemon: Daemon) -> None:
    lines = set()
    for _ in range(20):
        with (
            socket.create_connection((daemon.host, daemon.port), PATIENCE) as raw,
            raw.makefile("rb") as stream,
        ):
            lines.add(stream.readline())
    assert lines == {f"SSH-2.0-sftpd_{__version__}\r\n".encode()}
    eventually(lambda: not daemon.sessions, daemon)


def accepts(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), 1):
            return True
    except OSError:
        return False


def read_all(sock: socket.socket) -> bytes:
    data = b""
    try:
        while chunk := sock.recv(4096):
            data += chunk
    except ConnectionError:
        pass
    return data
