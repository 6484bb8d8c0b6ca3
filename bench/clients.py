"""The clients that drive every server: OpenSSH's sftp, lftp and rclone, each as it is installed."""

import contextlib
import re
import shlex
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass

from bench.peers import Peer

_PATIENCE = 600.0
_SAID = 160
GCM = "aes128-gcm@openssh.com"


class Failed(Exception):  # noqa: N818 - an outcome of a measurement
    """The server did not do the task; the text says what was seen."""


@dataclass(frozen=True)
class Offer:
    """What a server and OpenSSH's client agree on when left alone."""

    cipher: str
    extensions: tuple[str, ...]


def sftp(peer: Peer, *batch: str, cipher: str | None = None) -> bytes:
    """Run OpenSSH's client with these commands."""
    return _run(_sftp(peer, "-q", *(("-c", cipher) if cipher else ())), "\n".join(batch) + "\n")


def lftp(peer: Peer, *commands: str) -> bytes:
    """Run lftp with these commands."""
    connect = shlex.join(["ssh", "-a", "-x", *_options(peer)])
    script = [
        "set net:max-retries 1",
        "set cmd:fail-exit true",
        f"set sftp:connect-program {shlex.quote(connect)}",
        f"open -u {peer.user}, sftp://127.0.0.1:{peer.port}",
        *commands,
    ]
    return _run(["lftp", "--norc", "-c", "; ".join(script)], "")


def rclone(peer: Peer, verb: str, source: str, target: str, *more: str) -> bytes:
    """Run rclone; `:sftp:` before a path means the server, and `more` are further options."""
    options = {
        "host": "127.0.0.1",
        "port": str(peer.port),
        "user": peer.user,
        "key-file": str(peer.key),
        "known-hosts-file": str(peer.known_hosts),
        "shell-type": "none",
    }
    words = [word for name, value in options.items() for word in (f"--sftp-{name}", value)]
    plain = ["--config", "/dev/null", "--retries", "1", "--low-level-retries", "1", "--ignore-checksum"]
    return _run(["rclone", verb, source, target, *plain, *words, *more], "")


def probe(peer: Peer) -> Offer:
    """Connect once and see."""
    done = subprocess.run(
        _sftp(peer, "-vv"), input=b"pwd\n", capture_output=True, timeout=_PATIENCE, check=False
    )
    said = done.stderr.decode(errors="replace")
    if done.returncode:
        raise Failed(_last_line(said))
    cipher = re.search(r"kex: server->client cipher: (\S+) MAC: (\S+)", said)
    assert cipher, said
    mac = "" if cipher[2] == "<implicit>" else f" {cipher[2]}"
    return Offer(cipher[1] + mac, tuple(re.findall(r'Server supports extension "(\S+)"', said)))


@contextlib.contextmanager
def idle(peer: Peer, number: int) -> Iterator[None]:
    """Hold this many sessions open, each after its first answer."""
    held: list[subprocess.Popen[bytes]] = []
    try:
        for _ in range(number):
            client = subprocess.Popen(
                _sftp(peer, "-q"),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                bufsize=0,
            )
            held.append(client)
            assert client.stdin
            assert client.stdout
            client.stdin.write(b"pwd\n")
            said = b""
            while b"Remote working directory" not in said:
                piece = client.stdout.read(4096)
                if not piece:
                    raise Failed(f"session {len(held)} of {number} did not open")
                said += piece
        yield
    finally:
        for client in held:
            assert client.stdin
            assert client.stdout
            client.stdin.close()
            client.stdout.close()
        for client in held:
            client.wait(_PATIENCE)


def _sftp(peer: Peer, *options: str) -> list[str]:
    where = ["-P", str(peer.port), f"{peer.user}@127.0.0.1"]
    return ["sftp", *options, "-b", "-", *_options(peer), *where]


def _options(peer: Peer) -> list[str]:
    options = {
        "IdentityFile": peer.key,
        "IdentitiesOnly": "yes",
        "UserKnownHostsFile": peer.known_hosts,
        "StrictHostKeyChecking": "yes",
        "BatchMode": "yes",
    }
    words = (word for name, value in options.items() for word in ("-o", f"{name}={value}"))
    return ["-F", "none", *words]


def _run(command: list[str], text: str) -> bytes:
    try:
        done = subprocess.run(
            command, input=text.encode(), capture_output=True, timeout=_PATIENCE, check=False
        )
    except subprocess.TimeoutExpired:
        raise Failed(f"{command[0]} was not done after {_PATIENCE:.0f} s") from None
    if done.returncode:
        raise Failed(f"{command[0]}: {_last_line(done.stderr.decode(errors='replace'))}")
    return done.stdout


def _last_line(said: str) -> str:
    lines = [line.strip() for line in said.splitlines() if line.strip() and "debug" not in line]
    telling = [
        line for line in lines if not line.startswith(("Connection closed", "Bytes per", "Transferred"))
    ] or lines
    return telling[-1][:_SAID] if telling else "no message"
