"""The servers that are measured, each started on a loopback port and ready for every client."""

import contextlib
import getpass
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from bench.meter import Meter, metered
from tests.sshd import free_port, make_key, sshd

_PATIENCE = 30.0
_PROFTPD = shutil.which("proftpd", path=f"{os.environ.get('PATH', '')}:/usr/sbin") or "/usr/sbin/proftpd"
_PROFTPD_MODULES = Path("/usr/lib/proftpd")
_SFTP_SERVER = "/usr/lib/openssh/sftp-server"
_SESSIONS = 600
BASE = "openssh-internal"
OURS = "sftpd"
OURS_SHARED = "sftpd-shared"
FOR_SESSIONS = frozenset({OURS_SHARED})
"""Servers that differ from another in their sessions alone: nothing else is done with them."""


@dataclass(frozen=True)
class Peer:
    """A running server: how a client reaches it, where its files lie, and what it costs."""

    name: str
    port: int
    user: str
    key: Path
    known_hosts: Path
    upload: str
    download: str
    received: Path
    """The local folder that holds what was uploaded."""
    offered: Path
    """The local folder whose content is in `download`."""
    drop: Path | None
    """The local folder from which files get into `offered` on the server's own way, if it has one."""
    meter: Meter


@dataclass(frozen=True)
class Ground:
    """What all servers but ours have in common: the tree they serve and the keys of both sides."""

    root: Path
    host_key: Path
    user_key: Path

    @classmethod
    def make(cls, folder: Path) -> "Ground":
        """Make it in a folder."""
        for name in ("upload", "download"):
            (folder / "root" / name).mkdir(parents=True)
        ground = cls(folder / "root", folder / "host_key", folder / "user_key")
        make_key(ground.host_key, "ed25519")
        make_key(ground.user_key, "ed25519")
        return ground

    @property
    def authorized_keys(self) -> Path:
        """The client's public key."""
        return self.user_key.with_suffix(".pub")

    @contextlib.contextmanager
    def peer(self, name: str, port: int, pid: int, *, top: str | None = None) -> Iterator[Peer]:
        """The server that runs with these keys on this tree, seen by its clients as `top`."""
        seen = str(self.root) if top is None else top
        known = self.root.with_name(f"{name}.known_hosts")
        known.write_text(f"[127.0.0.1]:{port} {self.host_key.with_suffix('.pub').read_text()}")
        received, offered = self.root / "upload", self.root / "download"
        upload, download = f"{seen}/upload", f"{seen}/download"
        with metered(pid, name) as meter:
            yield Peer(
                name,
                port,
                getpass.getuser(),
                self.user_key,
                known,
                upload,
                download,
                received,
                offered,
                None,
                meter,
            )


Start = Callable[[Path, Ground], "contextlib.AbstractContextManager[Peer]"]


@contextlib.contextmanager
def _openssh(name: str, subsystem: str, folder: Path, ground: Ground) -> Iterator[Peer]:
    with sshd(folder) as server:
        server.kill()
        text = server.config.read_text().replace("internal-sftp", subsystem)
        text = text.replace(str(folder / "host_key"), str(ground.host_key))
        text = text.replace(str(folder / "authorized_keys"), str(ground.authorized_keys))
        server.config.write_text(text.replace("MaxStartups 100", f"MaxStartups {_SESSIONS}"))
        server.start()
        with ground.peer(name, server.port, server.pid) as peer:
            yield peer


def openssh_internal(folder: Path, ground: Ground) -> "contextlib.AbstractContextManager[Peer]":
    """Debian's sshd, SFTP in the process of the session."""
    return _openssh(BASE, "internal-sftp", folder, ground)


def openssh_sftp_server(folder: Path, ground: Ground) -> "contextlib.AbstractContextManager[Peer]":
    """Debian's sshd, SFTP in a program of its own."""
    return _openssh("openssh-sftp-server", _SFTP_SERVER, folder, ground)


@contextlib.contextmanager
def proftpd(folder: Path, ground: Ground) -> Iterator[Peer]:
    """ProFTPD with mod_sftp."""
    folder.mkdir()
    port, user = free_port(), getpass.getuser()
    users, keys, config = folder / "users", folder / "keys", folder / "proftpd.conf"
    users.write_text(f"{user}:*:{os.getuid()}:{os.getgid()}::{ground.root}:/bin/sh\n")
    users.chmod(0o600)
    rfc4716 = ["ssh-keygen", "-e", "-f", str(ground.authorized_keys)]
    keys.write_bytes(subprocess.check_output(rfc4716))
    # Some are compiled in until Debian 12.
    apart = [
        name for name in ("delay", "ls", "xfer", "sftp") if (_PROFTPD_MODULES / f"mod_{name}.so").exists()
    ]
    loaded = "\n".join(f"LoadModule mod_{name}.c" for name in apart)
    config.write_text(
        f"""
        ModulePath {_PROFTPD_MODULES}
        {loaded}
        ServerType standalone
        DefaultAddress 127.0.0.1
        Port {port}
        MaxInstances none
        RootLogin on
        UseFtpUsers off
        RequireValidShell off
        UseReverseDNS off
        AllowOverwrite on
        AllowStoreRestart on
        AuthOrder mod_auth_file.c
        AuthUserFile {users}
        ScoreboardFile {folder / "scoreboard"}
        PidFile {folder / "pid"}
        DelayTable none
        WtmpLog off
        TransferLog none
        SystemLog {folder / "log"}
        SFTPEngine on
        SFTPLog {folder / "sftp.log"}
        SFTPHostKey {ground.host_key}
        SFTPAuthorizedUserKeys file:{keys}
        """
    )
    command = [_PROFTPD, "-n", "-q", "-c", str(config)]
    with running(command, port, folder) as pid, ground.peer("proftpd", port, pid) as peer:
        yield peer


@contextlib.contextmanager
def rclone(folder: Path, ground: Ground) -> Iterator[Peer]:
    """`rclone serve sftp`, on Go's pkg/sftp as SFTPGo."""
    folder.mkdir()
    port = free_port()
    command = ["rclone", "serve", "sftp", str(ground.root), "--addr", f"127.0.0.1:{port}"]
    keys = ["--key", str(ground.host_key), "--authorized-keys", str(ground.authorized_keys)]
    folders = ["--config", str(folder / "none"), "--cache-dir", str(folder / "cache")]
    command += [*keys, *folders, "--dir-cache-time", "1s"]
    with running(command, port, folder) as pid, ground.peer("rclone", port, pid, top="") as peer:
        yield peer


@contextlib.contextmanager
def _library(name: str, folder: Path, ground: Ground) -> Iterator[Peer]:
    folder.mkdir()
    port = free_port()
    program = [sys.executable, "-m", f"bench.servers.with_{name}", str(port)]
    arguments = [str(ground.host_key), str(ground.authorized_keys), getpass.getuser()]
    with running([*program, *arguments], port, folder) as pid, ground.peer(name, port, pid) as peer:
        yield peer


def asyncssh(folder: Path, ground: Ground) -> "contextlib.AbstractContextManager[Peer]":
    """AsyncSSH's server."""
    return _library("asyncssh", folder, ground)


def conch(folder: Path, ground: Ground) -> "contextlib.AbstractContextManager[Peer]":
    """Twisted Conch's server."""
    return _library("conch", folder, ground)


def paramiko(folder: Path, ground: Ground) -> "contextlib.AbstractContextManager[Peer]":
    """Stock paramiko."""
    return _library("paramiko", folder, ground)


@contextlib.contextmanager
def _sftpd(name: str, shared_by: int, folder: Path, _ground: Ground) -> Iterator[Peer]:
    command = [sys.executable, "-m", "sftpd"]
    made = json.loads(
        subprocess.check_output([*command, "init", str(folder), "--listen", "127.0.0.1:0", "--json"])
    )
    config, limits = Path(made["config"]), {"max_sessions": _SESSIONS, "max_sessions_per_account": _SESSIONS}
    limits["sessions_per_process"] = shared_by
    limits |= dict.fromkeys(
        ("unauthenticated_per_address", "unauthenticated_per_network", "unauthenticated_total"),
        _SESSIONS // 2,
    )
    lines = "\n".join(f"{key} = {value}" for key, value in limits.items())
    text = config.read_text()
    assert "[server]\n" in text
    config.write_text(text.replace("[server]\n", f"[server]\n{lines}\n"))
    link = folder / "links" / "demo"
    serve = [*command, "serve", "--config", str(config)]
    with (
        running(serve, made["port"], folder.with_name(f"{name}.out")) as pid,
        metered(pid, name) as meter,
    ):
        yield Peer(
            name,
            made["port"],
            made["user"],
            Path(made["identity_file"]),
            Path(made["known_hosts"]),
            "/upload",
            "/download",
            link / "inbound",
            link / ".sftpd" / "download",
            link / "outbound",
            meter,
        )


def ours(folder: Path, ground: Ground) -> "contextlib.AbstractContextManager[Peer]":
    """sftpd with everything on: staging, hash, ledger, audit log, gate hooks; only its limits are raised."""
    return _sftpd(OURS, 1, folder, ground)


def ours_shared(folder: Path, ground: Ground) -> "contextlib.AbstractContextManager[Peer]":
    """The same with fifty sessions a process."""
    return _sftpd(OURS_SHARED, 50, folder, ground)


PEERS: dict[str, Start] = {
    BASE: openssh_internal,
    OURS: ours,
    OURS_SHARED: ours_shared,
    "openssh-sftp-server": openssh_sftp_server,
    "proftpd": proftpd,
    "rclone": rclone,
    "asyncssh": asyncssh,
    "conch": conch,
    "paramiko": paramiko,
}


@contextlib.contextmanager
def running(command: list[str], port: int, logs: Path) -> Iterator[int]:
    """Run a server until the end of the context, from when it accepts connections."""
    logs.mkdir(exist_ok=True)
    log = logs / "output"
    with log.open("wb") as output:
        server = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
        )
    try:
        deadline = time.monotonic() + _PATIENCE
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            if server.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{command[:3]} does not serve:\n{log.read_text(errors='replace')}")
            time.sleep(0.05)
        yield server.pid
    finally:
        server.terminate()
        try:
            server.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()
