"""The ways in which files cross a link, each with a real counterpart, as the faults meet them."""

import contextlib
import hashlib
import os
import random
import signal
import sqlite3
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import leaks
from daemon import Daemon
from faults_shore import Shore, visible
from sshd import Sshd, sshd
from traffic_scene import inbound, outbound, with_remote
from waiting import holds

from sftpd.exchange.transfer import FINAL

PATIENCE = 120.0
_BLOCKING = '[route.policy]\ndeny = ["*.exe"]\n'


@dataclass(frozen=True)
class Sent:
    """A file that set out."""

    name: str
    size: int
    sha256: str


class Crossing:
    """One instance and the counterpart of one flow. `lines` are further ones of the route."""

    event = "transfer.delivered"
    direction = "outbound"
    kept: str | None = "sent"
    """The folder in which our copy then lies; None: not ours any more."""
    nested = True
    """Whether files may lie in folders."""

    def __init__(self, folder: Path, *lines: str) -> None:
        self.folder = folder
        self.sent: dict[str, Sent] = {}
        self.given_up: set[str] = set()
        """Files of which the partner was not told what became of them, and that it did not send again."""
        self._undo = contextlib.ExitStack()
        self.daemon = Daemon(folder / "instance")
        self._undo.callback(self.daemon.kill)
        self.server: Sshd | None = None
        self.shore = self._prepare(lines)

    def __enter__(self) -> "Crossing":
        self._undo.enter_context(self.shore)
        return self

    def __exit__(self, *_: object) -> None:
        self._undo.close()

    def _prepare(self, lines: tuple[str, ...]) -> Shore:
        """Configure the instance; returns where files arrive."""
        raise NotImplementedError

    def put(self, files: dict[str, bytes]) -> None:
        """Have files set out, whether or not sftpd runs."""
        raise NotImplementedError

    def left(self) -> list[str]:
        """What still lies where the files set out from."""
        raise NotImplementedError

    def begin(self) -> None:
        """What the partner does once sftpd runs."""

    def wait(self) -> None:
        """Let the partner finish what it is at."""

    def again(self) -> None:
        """What the partner does after a fault."""

    def is_idle(self) -> bool:
        """Whether all is done that can be done."""
        return not self.left() and not self.unfinished()

    def unfinished(self) -> list[str]:
        """The paths of transfers that are not at their end."""
        marks = ",".join("?" * len(FINAL))
        query = f"SELECT path FROM transfer WHERE state NOT IN ({marks})"
        return [row["path"] for row in self.rows(query, *sorted(FINAL))]

    def rows(self, query: str, *values: object) -> list[dict[str, Any]]:
        """Rows of the ledger."""
        path = self.daemon.root / "state/ledger.db"
        if not path.exists():
            return []
        with contextlib.closing(
            sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=PATIENCE)
        ) as ledger:
            found = ledger.execute(query, values)
            names = [column[0] for column in found.description]
            return [dict(zip(names, map(_text, row), strict=True)) for row in found]

    def note(self, files: dict[str, bytes]) -> None:
        """Remember what set out."""
        for name, content in files.items():
            self.sent[name] = Sent(name, len(content), hashlib.sha256(content).hexdigest())

    def settle(self) -> None:
        """Wait until all is done; fails the test when that does not come about."""
        done = holds(self.is_idle, PATIENCE)
        assert done, f"left {self.left()}, unfinished {self.unfinished()}\n{self.daemon.log[-20000:]}"

    def end(self) -> None:
        """SIGKILL to all of sftpd, a child that stands still too."""
        if self.daemon.runs:
            for pid in (self.daemon.pid, *leaks.processes(self.daemon.pid)):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        self.daemon.kill()

    def _own_server(self) -> Sshd:
        self.server = self._undo.enter_context(sshd(self.folder / "sshd"))
        return self.server


class ToRemote(Crossing):
    """A dropped file goes to an OpenSSH server."""

    def _prepare(self, lines: tuple[str, ...]) -> Shore:
        server = self._own_server()
        with_remote(self.daemon, server, outbound(server.root, *lines) + _BLOCKING)
        return Shore(server.root, taking=True)

    def put(self, files: dict[str, bytes]) -> None:
        self.note(files)
        drop(self.daemon.outbound, files)

    def left(self) -> list[str]:
        return [str(path) for path in visible(self.daemon.outbound)]


class ToDownload(ToRemote):
    """A dropped file is offered in /download."""

    kept = "download"

    def _prepare(self, lines: tuple[str, ...]) -> Shore:
        self.daemon.configure_link("[route]", "settle = 0.3", *lines)
        return Shore(self.daemon.link / ".sftpd/download", taking=True)


class Upload(Crossing):
    """OpenSSH's sftp uploads; it resumes what it was not told has arrived, and finds out what that takes."""

    event = "transfer.received"
    direction = "inbound"
    kept = "inbound"

    def _prepare(self, lines: tuple[str, ...]) -> Shore:
        self.resumes = True
        """Whether the client tries again after a fault."""
        self._waiting: list[str] = []
        self._client: subprocess.Popen[bytes] | None = None
        self._said = self.folder / "client.log"
        self._undo.callback(self._end_client)
        return Shore(self.daemon.inbound, taking=False)

    def put(self, files: dict[str, bytes]) -> None:
        self.note(files)
        drop(self.daemon.desk, files)
        self._waiting = sorted(files)

    def left(self) -> list[str]:
        if self._client is not None and self._client.poll() is not None:
            self._hear()
        return self._waiting

    def begin(self) -> None:
        commands = [*self._folders(), *(f"-put {name} /upload/{name}" for name in self._waiting)]
        with self._said.open("wb") as said:
            self._client = subprocess.Popen(
                self.daemon.sftp_command(),
                stdin=subprocess.PIPE,
                stdout=said,
                stderr=subprocess.STDOUT,
                cwd=self.daemon.desk,
                start_new_session=True,
            )
        assert self._client.stdin is not None
        self._client.stdin.write("".join(f"{line}\n" for line in commands).encode())
        self._client.stdin.close()

    def wait(self) -> None:
        holds(lambda: self._client is None or self._client.poll() is not None, PATIENCE)

    def again(self) -> None:
        """Resume each file of which no end was heard, once those are published that the monitor has.

        A client that comes back sooner sees nothing of a file that is being screened, and sends it again.
        """
        self._end_client()
        if not self.resumes:
            self._give_up()
        elif self._waiting:
            holds(lambda: not self.unfinished(), PATIENCE)
            self.daemon.sftp_done(*self._folders())
        for name in [*self._waiting]:
            self._resume(name)
            self._waiting.remove(name)

    def _resume(self, name: str) -> None:
        """Send what is missing; where that is nothing, say once more that it is whole: it may be a part."""
        resumed = self.daemon.sftp_batch(f"reput {name} /upload/{name}")
        if resumed.returncode == 0:
            return
        if "same size or larger" not in resumed.stderr:
            self.daemon.sftp_done(f"put {name} /upload/{name}")
            return
        with self.daemon.sftp() as client:
            client.open(f"/upload/{name}", "r+").close()

    def _give_up(self) -> None:
        """Remove the parts of what is not resumed."""
        self.given_up |= set(self._waiting)
        self.daemon.sftp_done(*(f"-rm /upload/{name}" for name in self._waiting))
        self._waiting = []

    def _folders(self) -> list[str]:
        folders = sorted({os.path.dirname(name) for name in self._waiting} - {""})
        return [f"-mkdir /upload/{folder}" for folder in folders]

    def _hear(self) -> None:
        """Learn which files have arrived: those after which the client went on without a word."""
        assert self._client is not None
        commands = self._said.read_text(errors="replace").split("sftp> ")[1:]
        if self._client.returncode != 0:
            commands = commands[:-1]
        told = {command.split()[1] for command in commands if self._is_answer(command)}
        self._waiting = [name for name in self._waiting if name not in told]
        self._client = None

    def _is_answer(self, command: str) -> bool:
        """Whether the file of this command needs no other try."""
        echo, _, more = command.partition("\n")
        return echo.startswith("-put") and not (more and self.resumes)

    def _end_client(self) -> None:
        if self._client is not None:
            self._client.kill()
            self._client.wait()
            self._hear()


class Pull(Crossing):
    """Files are fetched from an OpenSSH server and deleted there."""

    event = "transfer.received"
    direction = "inbound"
    kept = "inbound"
    nested = False

    def _prepare(self, lines: tuple[str, ...]) -> Shore:
        server = self._own_server()
        (server.root / "out").mkdir()
        with_remote(self.daemon, server, inbound(server.root / "out", '"delete"', *lines) + _BLOCKING)
        return Shore(self.daemon.inbound, taking=True)

    def put(self, files: dict[str, bytes]) -> None:
        assert self.server is not None
        self.note(files)
        drop(self.server.root / "out", files)

    def left(self) -> list[str]:
        assert self.server is not None
        return sorted(os.listdir(self.server.root / "out"))


CROSSINGS: dict[str, type[Crossing]] = {
    "remote": ToRemote,
    "download": ToDownload,
    "upload": Upload,
    "pull": Pull,
}


def drop(folder: Path, files: dict[str, bytes]) -> None:
    """Put files into a folder, each whole at once."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f".{path.name}.draft")
        draft.write_bytes(content)
        draft.rename(path)


def contents(crossing: Crossing, prefix: str, suffix: str = ".csv") -> dict[str, bytes]:
    """A file of several packets and one of a few bytes, under names that begin with `prefix`."""
    chance = random.Random(prefix)
    join = "/" if crossing.nested else "-"
    sizes = {"report": 150_000, "small": 20}
    return {f"{prefix}{join}{name}{suffix}": chance.randbytes(size) for name, size in sizes.items()}


def _text(value: Any) -> Any:
    return os.fsdecode(value) if isinstance(value, bytes) else value
