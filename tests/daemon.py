"""A real sftpd on a loopback port: an instance made by `sftpd init`, served by a process of its own."""

import contextlib
import io
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import leaks
import ledgers
import paramiko
from daemon_stage import STAGES, Forked
from sshd import free_port
from waiting import holds

from sftpd.audit.checkpoint import parse_checkpoint
from sftpd.audit.published import PublishedLog
from sftpd.cli.main import run
from sftpd.service.control_client import call

SFTPD = Path(sys.executable).with_name("sftpd")
PATIENCE = 30.0
"""Seconds after which a condition that should come about counts as failed."""


class Daemon:
    """One instance in `root`. Its configuration may be edited before `start`, and between two starts.

    As a context manager it starts, and is killed at the end when it still runs.
    """

    def __init__(self, root: Path, program: Sequence[str | Path] = ()) -> None:
        """`program` serves, or else a fork of the stage, which has less to load."""
        self.root = root
        self._program = tuple(program)
        self.desk = root.with_name(f"{root.name}-desk")
        """A folder for the local files of clients, in which they run."""
        self.desk.mkdir(parents=True)
        made = command("init", str(root), "--listen", f"127.0.0.1:{free_port()}", "--json")
        assert made.returncode == 0, made.stderr
        self.about: dict[str, Any] = json.loads(made.stdout)
        """What `init --json` printed."""
        self.ledger = root / "state/ledger.db"
        if STAGES:
            ledgers.url(self.ledger)  # with its schema from the start, which takes long to make
        self.config = root / "sftpd.toml"
        self.link_config = root / "links.d/demo.toml"
        self.host, self.port, self.user = self.about["host"], self.about["port"], self.about["user"]
        self.key, self.known_hosts = Path(self.about["identity_file"]), Path(self.about["known_hosts"])
        self.link = root / "links/demo"
        self.inbound, self.outbound = self.link / "inbound", self.link / "outbound"
        self.quarantine, self.failed = self.link / "quarantine", self.link / "failed"
        self.staging = self.link / ".sftpd/staging"
        self._process: subprocess.Popen[bytes] | Forked | None = None
        self._log = root.with_name(f"{root.name}.log")

    def __enter__(self) -> "Daemon":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def configure(self, table: str, *lines: str) -> None:
        """Put `lines` at the head of the `[table]` of sftpd.toml, in place of lines with the same keys."""
        _put(self.config, f"[{table}]", lines)

    def configure_link(self, table: str, *lines: str) -> None:
        """The same in the demo link's file; `[account]`, with brackets, means the table `[[account]]`."""
        _put(self.link_config, f"[{table}]", lines)

    def add_account(self, name: str, *lines: str) -> None:
        """Another account of the demo link."""
        with self.link_config.open("a") as file:
            file.write("\n".join(["", "[[account]]", f'name = "{name}"', *lines, ""]))

    def add_hook(self, event: str, name: str, script: str, *, mode: int = 0o755) -> None:
        """A hook of the instance's own, in `hooks/`; the shipped ones do not run then."""
        self.configure("instance", 'hooks = "hooks"')
        path = self.root / "hooks" / f"{event}.d" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(script)
        path.chmod(mode)

    def launch(self, *command: str | Path, environment: Mapping[str, str] | None = None) -> None:
        """Begin to serve, by another command than usual if one is given; returns at once."""
        serve = ("serve", "--config", str(self.config))
        environment = {**os.environ, **(environment or {})}
        program = command or self._program
        with self._log.open("ab") as log:
            if STAGES and not program:
                self._process = STAGES[-1].start(serve, log.fileno(), environment)
                return
            self._process = subprocess.Popen(
                [*(program or (SFTPD,)), *serve],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment,
                start_new_session=True,
            )

    def start(self) -> None:
        """Serve, and wait until the daemon says that it does."""
        before = len(self.log)
        self.launch()
        if not holds(lambda: " serves " in self.log[before:] or self._process.poll() is not None):
            self.kill()
        if self._process is None or self._process.poll() is not None:
            raise RuntimeError(f"sftpd does not serve:\n{self.log[before:]}")

    def stop(self) -> None:
        """SIGTERM, and wait for its end; a daemon that does not end well fails the test."""
        process = self._running
        process.terminate()
        code = process.wait(2 * PATIENCE)
        self._process = None
        assert code == 0, self.log

    def reload(self) -> None:
        """SIGHUP, and wait until the new configuration is in force."""
        before = self.log.count(" reloaded ")
        self._running.send_signal(signal.SIGHUP)
        eventually(lambda: self.log.count(" reloaded ") > before, self)

    def kill(self) -> None:
        """SIGKILL the monitor alone, as a crash would, and wait until its children have noticed."""
        if self._process is None:
            return
        below = leaks.processes(self._process.pid)
        self._process.kill()
        self._process.wait()
        self._process = None
        assert holds(lambda: not any(map(_alive, below))), f"outlived the monitor: {below}"

    @property
    def runs(self) -> bool:
        """Whether the monitor is alive."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """The monitor's process id."""
        return self._running.pid

    @property
    def sessions(self) -> list[int]:
        """Process ids of the sessions, the oldest first."""
        names = {pid: name for pid, name in leaks.processes(self.pid).items() if "(Z)" not in name}
        return sorted(pid for pid, name in names.items() if name.startswith("sftpd-session"))

    @property
    def log(self) -> str:
        """All that the daemon has written so far, to standard output and standard error."""
        return self._log.read_text(errors="replace") if self._log.exists() else ""

    def log_after(self, mark: int) -> str:
        """What it has written beyond so many bytes."""
        with self._log.open("rb") as file:
            file.seek(mark)
            return file.read().decode(errors="replace")

    @property
    def log_mark(self) -> int:
        """How many bytes it has written so far."""
        return self._log.stat().st_size if self._log.exists() else 0

    def events(self, log: str = "demo") -> list[dict[str, Any]]:
        """The leaves of an audit log, with every event in it that was committed before the call."""
        if self._process is not None:
            socket = self.root / "state/control.sock"
            eventually(lambda: call(socket, "status", {})["outbox"] == 0, self)
        published = PublishedLog(self.root / "state/audit" / log / "public")
        size = parse_checkpoint(published.checkpoint()).size
        return [json.loads(leaf) for leaf in published.leaves(0, size, size)]

    def events_of(self, *types: str, log: str = "demo") -> list[dict[str, Any]]:
        """The leaves of these types."""
        return [event for event in self.events(log) if event["type"] in types]

    def cli(self, *words: str) -> "subprocess.CompletedProcess[str]":
        """Run the command line on this instance, in this process, for to start one takes longer."""
        return command(*words, "--config", str(self.config))

    def process(self, *words: str) -> "subprocess.CompletedProcess[str]":
        """Run the command line on this instance as a process of its own."""
        return subprocess.run(
            [SFTPD, *words, "--config", str(self.config)], capture_output=True, text=True, timeout=PATIENCE
        )

    def ssh_options(self, *, key: Path | None = None) -> list[str]:
        """What OpenSSH's clients need but for port, user and host."""
        options = {
            "UserKnownHostsFile": self.known_hosts,
            "StrictHostKeyChecking": "yes",
            "IdentitiesOnly": "yes",
            "IdentityFile": key or self.key,
            "BatchMode": "yes",
        }
        return [
            "-F",
            "none",
            *(word for name, value in options.items() for word in ("-o", f"{name}={value}")),
        ]

    def sftp_command(self, *options: str, user: str | None = None, key: Path | None = None) -> list[str]:
        """OpenSSH's sftp with its commands from standard input."""
        where = ["-P", str(self.port), f"{user or self.user}@{self.host}"]
        return ["sftp", "-b", "-", *self.ssh_options(key=key), *options, *where]

    def sftp_batch(
        self, *commands: str, options: tuple[str, ...] = (), user: str | None = None, key: Path | None = None
    ) -> "subprocess.CompletedProcess[str]":
        """Run a batch in the desk; it ends at the first command that fails, but for those begun with `-`."""
        return subprocess.run(
            self.sftp_command(*options, user=user, key=key),
            input="".join(f"{command}\n" for command in commands),
            capture_output=True,
            text=True,
            errors="surrogateescape",
            cwd=self.desk,
            timeout=4 * PATIENCE,
        )

    def sftp_done(self, *commands: str, user: str | None = None, key: Path | None = None) -> str:
        """Run a batch that must succeed, and return what it printed."""
        done = self.sftp_batch(*commands, user=user, key=key)
        assert done.returncode == 0, f"{done.stderr}\n{self.log}"
        return done.stdout

    def file(self, name: str, content: bytes) -> Path:
        """A local file of the client."""
        path = self.desk / name
        path.write_bytes(content)
        return path

    @contextlib.contextmanager
    def connected(self, user: str | None = None, **login: Any) -> Iterator[paramiko.Transport]:
        """A paramiko connection that is logged in: with the demo key, or as `login` says."""
        client = paramiko.SSHClient()
        client.load_host_keys(str(self.known_hosts))
        login = login or {"key_filename": str(self.key)}
        try:
            client.connect(
                self.host,
                self.port,
                user or self.user,
                allow_agent=False,
                look_for_keys=False,
                timeout=PATIENCE,
                banner_timeout=PATIENCE,
                auth_timeout=PATIENCE,
                **login,
            )
            transport = client.get_transport()
            assert transport is not None
            yield transport
        finally:
            client.close()

    @contextlib.contextmanager
    def sftp(self, user: str | None = None, **login: Any) -> Iterator[paramiko.SFTPClient]:
        """A paramiko SFTP client."""
        with self.connected(user, **login) as transport:
            client = paramiko.SFTPClient.from_transport(transport)
            assert client is not None
            try:
                yield client
            finally:
                with contextlib.suppress(EOFError, OSError):  # the test may have ended the session
                    client.close()

    @property
    def _running(self) -> subprocess.Popen[bytes] | Forked:
        assert self._process is not None, "the daemon does not run"
        return self._process


def command(*words: str) -> "subprocess.CompletedProcess[str]":
    """Run a command of `sftpd` in this process, and return what it printed and how it ended."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = run([*words])
    return subprocess.CompletedProcess(words, code, out.getvalue(), err.getvalue())


def eventually(condition: Callable[[], object], daemon: Daemon) -> None:
    """Wait until the condition holds; when it does not come about the test fails and shows the log."""
    assert holds(condition), daemon.log


def _put(path: Path, header: str, lines: tuple[str, ...]) -> None:
    text = path.read_text()
    head, found, tail = text.partition(f"{header}\n")
    table, bracket, rest = tail.partition("\n[")
    for line in lines:
        key = re.escape(line.partition("=")[0].strip())
        table = re.sub(rf"(?m)^{key} *=.*\n?", "", table)
    new = "".join(f"{line}\n" for line in lines)
    path.write_text(f"{head}{found}{new}{table}{bracket}{rest}" if found else f"{text}\n{header}\n{new}")


def _alive(pid: int) -> bool:
    """Whether a process still does anything; an orphan that ended may wait for init a while."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
