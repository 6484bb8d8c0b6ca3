"""The servers that are measured, each ready for the OpenSSH client."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.sshd import sshd

_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Server:
    """A running server: how the client reaches it, and whose processor time counts."""

    name: str
    pid: int
    client: list[str]
    upload: str
    download: str
    offer: Path
    """The local folder whose files the server offers in `download`."""

    def sftp(self, *batch: str) -> None:
        """Run one client with these commands. Raises CalledProcessError with what it said."""
        done = subprocess.run(
            [*self.client[:1], "-q", "-b", "-", *self.client[1:]],
            input="\n".join(batch).encode() + b"\n",
            capture_output=True,
        )
        if done.returncode:
            raise RuntimeError(f"{self.name}: {done.stderr.decode()}")

    def processor_seconds(self) -> float:
        """User and system time of the server and of all it ever started."""
        return sum(_seconds(pid) for pid in _tree(self.pid))


@contextlib.contextmanager
def openssh(folder: Path) -> Iterator[Server]:
    """Debian's sshd with internal-sftp."""
    with sshd(folder) as server:
        offer, upload = server.root / "download", server.root / "upload"
        offer.mkdir()
        upload.mkdir()
        known = folder / "known_hosts"
        known.write_text(f"[127.0.0.1]:{server.port} {server.host_public_key}")
        options = _options(server.key_path, known, server.port)
        client = ["sftp", *options, f"{server.user}@127.0.0.1"]
        yield Server("openssh", server.pid, client, str(upload), str(offer), offer)


@contextlib.contextmanager
def ours(folder: Path) -> Iterator[Server]:
    """sftpd with everything on: staging, hash, ledger, events, gate hooks."""
    command = [sys.executable, "-m", "sftpd"]
    made = json.loads(
        subprocess.check_output([*command, "init", str(folder), "--listen", "127.0.0.1:0", "--json"])
    )
    daemon = subprocess.Popen(
        [*command, "serve", "--config", made["config"]], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    try:
        assert daemon.stdout is not None
        daemon.stdout.readline()
        options = _options(Path(made["identity_file"]), Path(made["known_hosts"]), made["port"])
        client = ["sftp", *options, f"{made['user']}@{made['host']}"]
        offer = folder / "links" / "demo" / ".sftpd" / "download"
        yield Server("sftpd", daemon.pid, client, "/upload", "/download", offer)
    finally:
        daemon.send_signal(signal.SIGTERM)
        daemon.wait()


def _options(key: Path, known_hosts: Path, port: int) -> list[str]:
    return [
        "-i",
        str(key),
        "-o",
        "IdentitiesOnly=yes",
        "-o",
        f"UserKnownHostsFile={known_hosts}",
        "-P",
        str(port),
    ]


def _tree(pid: int) -> list[int]:
    with contextlib.suppress(FileNotFoundError):
        children = [
            int(child)
            for task in Path(f"/proc/{pid}/task").iterdir()
            for child in (task / "children").read_text().split()
        ]
        return [pid, *(below for child in children for below in _tree(child))]
    return []


def _seconds(pid: int) -> float:
    with contextlib.suppress(FileNotFoundError):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
        return sum(map(int, fields[11:15])) / _TICKS
    return 0.0
