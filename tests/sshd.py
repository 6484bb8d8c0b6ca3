"""A real OpenSSH server on a loopback port, as the remote of a test."""

import base64
import contextlib
import getpass
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

SSHD = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin") or "/usr/sbin/sshd"
_START_PATIENCE = 20.0
_PORTS_OF_A_WORKER = 2_500


def _ports() -> Iterator[int]:
    """Ports below those that the kernel gives to connections, others for each worker of pytest-xdist."""
    first = 10_000 + int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:]) % 8 * _PORTS_OF_A_WORKER
    at = os.getpid()
    while True:
        at += 1
        yield first + at % _PORTS_OF_A_WORKER


_PORTS = _ports()


@dataclass
class Sshd:
    """The server: where it listens, what it shows, who may log in, and a folder for remote files."""

    port: int
    host_public_key: str
    user: str
    key_path: Path
    root: Path
    config: Path
    _process: "subprocess.Popen[bytes] | None" = field(default=None, repr=False)

    @property
    def runs(self) -> bool:
        """Whether it was started and not killed since."""
        return self._process is not None

    @property
    def pid(self) -> int:
        """The process that listens; raises RuntimeError when it does not run."""
        if self._process is None:
            raise RuntimeError("sshd does not run")
        return self._process.pid

    def start(self) -> None:
        """Start it, on the same port when it ran before, and wait until it accepts."""
        with self.config.with_suffix(".log").open("ab") as log:
            self._process = subprocess.Popen(
                [SSHD, "-D", "-e", "-f", self.config],
                stdin=subprocess.DEVNULL,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + _START_PATIENCE
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
                return
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(self.config.with_suffix(".log").read_text())
            time.sleep(0.02)

    def kill(self) -> None:
        """SIGKILL it and every process that serves a connection; harmless when it does not run."""
        if self._process is None:
            return
        for pid in (*_descendants(self._process.pid), self._process.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._process.wait()
        self._process = None


@contextlib.contextmanager
def sshd(folder: Path, *, options: str = "", key_type: str = "ed25519") -> Iterator[Sshd]:
    """Run a server with its own keys and configuration in `folder`; `options` are further lines of it."""
    folder.mkdir(parents=True, exist_ok=True)
    host_key, user_key, root = folder / "host_key", folder / "user_key", folder / "root"
    root.mkdir()
    make_key(host_key, "ed25519")
    make_key(user_key, key_type)
    shutil.copy(user_key.with_suffix(".pub"), folder / "authorized_keys")
    port = free_port()
    config = folder / "sshd_config"
    config.write_text(
        f"""{options}
        ListenAddress 127.0.0.1
        Port {port}
        HostKey {host_key}
        AuthorizedKeysFile {folder / "authorized_keys"}
        PermitRootLogin prohibit-password
        PasswordAuthentication no
        StrictModes no
        UsePAM no
        PidFile none
        MaxStartups 100
        Subsystem sftp internal-sftp
        """
    )
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # sshd's own, made by its service otherwise
    server = Sshd(port, host_key.with_suffix(".pub").read_text(), getpass.getuser(), user_key, root, config)
    try:
        server.start()
        yield server
    finally:
        server.kill()


def make_key(path: Path, key_type: str) -> None:
    """Make a key pair without a passphrase, the public half in PATH.pub."""
    subprocess.run(["ssh-keygen", "-q", "-t", key_type, "-N", "", "-f", path], check=True)


def public_blob(line: str) -> bytes:
    """The wire form of a public key in OpenSSH form."""
    return base64.b64decode(line.split()[1])


def free_port() -> int:
    """A port of the loopback that was free a moment ago, and that no connection is given by the kernel."""
    while True:
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port := next(_PORTS)))
            return port


def _descendants(pid: int) -> list[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children")
    found = [int(word) for word in children.read_text().split()] if children.exists() else []
    return [*found, *(below for child in found for below in _descendants(child))]
