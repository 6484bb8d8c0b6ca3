"""A stage from which sftpd is started often: an interpreter that has loaded all of it, and forks.

What runs is `sftpd serve`; saved are the seconds in which an interpreter loads it, once for the monitor and
once for the zygote, which is here a fork from before the monitor ran any code of its own. Folders of tests
that start many daemons use the `daemon_stage` of the conftest.
"""

import atexit
import contextlib
import ctypes
import gc
import importlib
import io
import json
import os
import pkgutil
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

STAGES: list["Stage"] = []
"""The stages at hand; the last one is used."""

_FAULTS = "SFTPD_FAULTS"
"""The environment variable of `faults_points`, which is loaded for a daemon that has it."""
_LIMIT = 1 << 16
_CLONE_NEWNET = 0x40000000


class Forked:
    """A process that was forked, with what of `subprocess.Popen` is needed here."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._pidfd = os.pidfd_open(pid)

    def poll(self) -> int | None:
        """Its exit code, once it has ended."""
        if self.returncode is None and self._has_ended(0):
            self.returncode = self._reap()
            os.close(self._pidfd)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Its exit code, when it ends in time. Raises subprocess.TimeoutExpired."""
        if self.returncode is None and not self._has_ended(timeout):
            raise subprocess.TimeoutExpired("sftpd", timeout or 0)
        code = self.poll()
        assert code is not None
        return code

    def send_signal(self, number: int) -> None:
        """Send it a signal unless it has ended."""
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd, number)

    def kill(self) -> None:
        """SIGKILL."""
        self.send_signal(signal.SIGKILL)

    def terminate(self) -> None:
        """SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def _has_ended(self, timeout: float | None) -> bool:
        found, _, _ = select.select([self._pidfd], [], [], timeout)
        return bool(found)

    def _reap(self) -> int:
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


class Stage:
    """The interpreter that forks, as its user sees it."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            command = [sys.executable, __file__, str(theirs.fileno())]
            path = os.pathsep.join(sys.path)
            self._process = subprocess.Popen(
                command,
                pass_fds=[theirs.fileno()],
                env={**os.environ, "PYTHONPATH": path},
                start_new_session=True,
            )
        self._socket = ours

    def close(self) -> None:
        """End it; what it started goes on."""
        self._socket.close()
        self._process.wait()

    def start(self, arguments: Sequence[str], output: int, environment: Mapping[str, str]) -> "Forked":
        """Run the command line `sftpd ARGUMENTS` with its output there and this environment."""
        play = {"arguments": [*arguments], "environment": {**environment}, "network": _own_network()}
        socket.send_fds(self._socket, [json.dumps(play).encode()], [output])
        return _Played(int(self._socket.recv(_LIMIT)), self)

    def reap(self, pid: int) -> int:
        """The exit code of one of its children that has ended."""
        self._socket.send(json.dumps({"reap": pid}).encode())
        return int(self._socket.recv(_LIMIT))


class _Played(Forked):
    def __init__(self, pid: int, stage: Stage) -> None:
        super().__init__(pid)
        self._stage = stage

    def _reap(self) -> int:
        return self._stage.reap(self.pid)


@contextlib.contextmanager
def stage() -> Iterator[None]:
    """Have a stage for every daemon that is started within."""
    STAGES.append(Stage())
    try:
        yield
    finally:
        STAGES.pop().close()


def _own_network() -> str:
    """The network namespace of this thread."""
    return f"/proc/{os.getpid()}/task/{threading.get_native_id()}/ns/net"


def _serve(own: socket.socket) -> int:
    """Fork on request until nobody asks."""
    while True:
        request, fds, _, _ = socket.recv_fds(own, _LIMIT, 1)
        if not request:
            return 0
        play = json.loads(request)
        if "reap" in play:
            answer = os.waitstatus_to_exitcode(os.waitpid(play["reap"], 0)[1])
        else:
            answer = os.fork()
            if answer == 0:
                own.close()
                _end(_play(play, *fds))
            os.close(*fds)
        own.send(str(answer).encode())


def _play(play: dict[str, Any], output: int) -> int:
    from sftpd.cli.main import run

    os.setsid()
    _move_to(output, 1, 2)
    os.environ.clear()
    os.environ.update(play["environment"])
    _enter(play["network"])
    with _nursery():
        if _FAULTS in os.environ:
            from faults_points import POINTS

            POINTS.arm("monitor")
        return run(play["arguments"])


def _end(code: int) -> NoReturn:
    """End as an interpreter does, but without taking apart all that it has loaded."""
    threading._shutdown()  # waits for threads
    atexit._run_exitfuncs()
    sys.stdout.flush()
    os._exit(code)


def _move_to(fd: int, *targets: int) -> None:
    for target in targets:
        os.dup2(fd, target)
    os.close(fd)


def _enter(network: str) -> None:
    if os.readlink(network) == os.readlink("/proc/self/ns/net"):
        return
    fd = os.open(network, os.O_RDONLY)
    if ctypes.CDLL(None, use_errno=True).setns(fd, _CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "cannot enter the network of the test")
    os.close(fd)


@contextlib.contextmanager
def _nursery() -> Iterator[None]:
    """Have a child ready that becomes the zygote when one is wanted for the first time."""
    from sftpd.process import pool

    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    pid = os.fork()
    if pid == 0:
        ours.close()
        _grow(theirs)
    theirs.close()
    usual = pool._launch

    def launch(channel: socket.socket, preload: Sequence[str]) -> Any:
        if ours.fileno() == -1:
            return usual(channel, preload)
        seen = {name: value for name, value in os.environ.items() if name in pool._ENVIRONMENT}
        body = json.dumps({"modules": [*preload], "environment": seen}).encode()
        socket.send_fds(ours, [body], [channel.fileno()])
        ours.close()
        return Forked(pid)

    pool._launch = launch
    try:
        yield
    finally:
        if ours.fileno() != -1:
            ours.close()
            os.waitpid(pid, 0)


def _grow(wanted: socket.socket) -> None:
    """Become the zygote, unless the monitor ends before it wants one."""
    from sftpd.process import zygote

    request, fds, _, _ = socket.recv_fds(wanted, _LIMIT, 1)
    if not request:
        os._exit(0)
    wanted.close()
    told = json.loads(request)
    os.setsid()
    os.chdir("/")
    if _FAULTS in os.environ:
        from faults_points import POINTS

        POINTS.arm_children()
    os.environ.clear()
    os.environ.update(told["environment"])
    os.dup2(2, 1)
    try:
        zygote.main([str(*fds), *told["modules"]])
    finally:
        os._exit(0)


def _load() -> None:
    """Load all that `sftpd serve` and its children will want."""
    import sftpd

    for module in pkgutil.walk_packages(sftpd.__path__, "sftpd."):
        if not module.name.startswith("sftpd.ledger.migrations.") and not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    _warm_up()
    gc.collect()
    gc.freeze()


def _warm_up() -> None:
    """Have done once what a process does once: statements compiled, the configuration's schema built."""
    from sftpd.app.instance import Instance
    from sftpd.cli.main import run
    from sftpd.clock import SystemClock
    from sftpd.config.load import load
    from sftpd.ssh.auth import nobodys_password

    nobodys_password()
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        run(["init", f"{folder}/instance", "--listen", "127.0.0.1:0"])
        with Instance(load(Path(folder, "instance/sftpd.toml")), SystemClock()):
            pass
    assert threading.active_count() == 1


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent / "faults"))
    _move_to(os.open(os.devnull, os.O_RDONLY), 0)
    _load()
    sys.exit(_serve(socket.socket(fileno=int(sys.argv[1]))))
