"""What the children of these tests run, and the messages they speak."""

import os
import resource
import signal
import socket
from pathlib import Path

import msgspec

from sftpd.process import sandbox
from sftpd.process.channel import Channel, ChannelClosedError
from sftpd.process.messages import Done, Message
from sftpd.process.sandbox import Sandbox


class Text(Message, frozen=True):
    text: str


class Slow(Message, frozen=True):
    text: str


class Number(Message, frozen=True):
    number: int


def echo(sock, args, fds):
    """Answer every request with its own body and descriptors until the channel closes."""
    with Channel(sock, Text | Number) as channel:
        while True:
            try:
                request, received = channel.receive()
            except ChannelClosedError:
                return
            channel.reply(request, request.body, received)
            for fd in received:
                os.close(fd)


def ask(sock, args, fds):
    """Call the monitor with numbers 0 to 9 and report the sum of what comes back."""
    with Channel(sock, Number) as channel:
        total = sum(channel.call(Number(number), Number).number for number in range(10))
        channel.notify(Number(total))


def speak_nonsense(sock, args, fds):
    sock.send(b"\xc1 is no message")
    signal.pause()


def crash(sock, args, fds):
    raise ValueError(f"cannot go on with {args.decode()}")


def leave(sock, args, fds):
    raise SystemExit(int(args))


def wait_for_ever(sock, args, fds):
    with Channel(sock, Done) as channel:
        channel.notify(Text("here"))
        while True:
            signal.pause()


def ignore_sigterm(sock, args, fds):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    wait_for_ever(sock, args, fds)


def leave_orphan(sock, args, fds):
    """End at once, leaving a process in the group behind; tell its pid."""
    orphan = os.fork()
    if orphan == 0:
        signal.pause()
    with Channel(sock, Done) as channel:
        channel.notify(Number(orphan))


def list_inheritance(sock, args, fds):
    """Tell which descriptors this child holds, and its process name."""
    held = sorted(int(name) for name in os.listdir("/proc/self/fd"))
    with Channel(sock, Done) as channel:
        channel.notify(Text(f"{len(held)} {Path('/proc/self/comm').read_text().strip()}"))


class Attempts(Message, frozen=True):
    """Sandboxes to narrow to, one after the other, and actions to try after each."""

    sandboxes: tuple[Sandbox, ...]
    actions: tuple[tuple[str, str], ...]


def attempt(sock, args, fds):
    """Try each action under each sandbox, and report `ok` or the exception's name."""
    attempts = msgspec.msgpack.decode(args, type=Attempts)
    with Channel(sock, Done) as channel:
        for spec in attempts.sandboxes:
            sandbox.apply(spec)
            for action, target in attempts.actions:
                channel.notify(Text(_outcome(action, target)))


def _outcome(action, target):
    try:
        _ACTIONS[action](target)
    except (OSError, MemoryError) as fault:
        return type(fault).__name__
    return "ok"


def _read(target):
    Path(target).read_bytes()


def _write(target):
    Path(target).write_bytes(b"x")


def _move(target):
    Path(target).write_bytes(b"x")
    Path(target).rename(Path(target).parent.parent / "moved")


def _connect(target):
    with socket.socket() as sock:
        sock.connect(("127.0.0.1", int(target)))


def _bind(target):
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", int(target)))


def _unix(target):
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(target)


def _pair(target):
    first, second = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with first, second:
        first.connect(target)


def _send(target):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.sendto(b"x", ("127.0.0.1", int(target)))


def _limit(target):
    resource.prlimit(
        int(target), resource.RLIMIT_NOFILE, resource.prlimit(int(target), resource.RLIMIT_NOFILE)
    )


def _chmod(target):
    Path(target).chmod(0o666)


def _signal(target):
    os.kill(int(target), 0)


def _allocate(target):
    bytearray(int(target))


def _open_many(target):
    held = []
    try:
        held.extend(os.dup(2) for _ in range(int(target)))
    finally:
        for fd in held:
            os.close(fd)


_ACTIONS = {
    "read": _read,
    "write": _write,
    "move": _move,
    "connect": _connect,
    "bind": _bind,
    "unix": _unix,
    "pair": _pair,
    "send": _send,
    "limit": _limit,
    "chmod": _chmod,
    "signal": _signal,
    "allocate": _allocate,
    "open_many": _open_many,
}


def be_monitor(path):
    """A monitor with a child and a command's grandchild, as a program of its own: writes down all pids."""
    from sftpd.process.command import run_command
    from sftpd.process.pool import Children

    children = Children.start(["process_entries"])
    child = children.spawn("process_entries:ignore_sigterm", kind="session", sandbox=None, accepts=Text)
    child.channel.receive()
    script = (
        f"trap '' TERM; sleep 1000 & setsid sleep 1000 & echo $! > {path}.tmp; mv {path}.tmp {path}; wait"
    )
    run_command(children, ["/bin/sh", "-c", script], sandbox=None, deadline=1000, env={"PATH": os.defpath})
