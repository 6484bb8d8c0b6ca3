"""A day's mixed load in short: partners, strangers, operators, a remote and a consumer at once."""

import contextlib
import itertools
import os
import random
import shlex
import signal
import socket
import subprocess
import threading
import traceback
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import argon2
import paramiko
from daemon import PATIENCE, Daemon
from sshd import Sshd, free_port, make_key
from waiting import holds

from sftpd.service.control_client import DaemonError, call

KIB, MIB = 1 << 10, 1 << 20
ENTRIES = 2000
"""Files of the big folder."""
_GRACE = 15
"""Seconds that a client may take to log in, on a machine that has much to do."""
_RATE = 8 * 1024
"""Kilobits a second at which uploads go that are cut off."""
_GARBAGE = (b"SSH-1.5-old\r\n", b"SSH-2.0-x\r\n" + b"\xff" * 1000, b"\0" * 10_000, b"line\r\n" * 1000)
_ROUTES = """
[[remote]]
name = "partner"
host = "127.0.0.1"
port = {port}
user = "{user}"
key = "file:{key}"
host_keys = ["{host_key}"]
connect_timeout = 10

[[route]]
name = "offer"
direction = "outbound"
folder = "offered"
to = "download"
settle = 0.2
after = "remove"

[[route]]
name = "bring"
direction = "outbound"
folder = "brought"
to = "remote:partner"
remote_path = "{root}/in"
settle = 0.2
after = "remove"
backoff = {{ base = 0.2, cap = 0.4 }}

[[route]]
name = "pull"
direction = "inbound"
from = "remote:partner"
remote_path = "{root}/out"
every = "PT1S"
then = "delete"

[[retention]]
name = "soon"
folder = "inbound"
glob = "*.bin"
period = "PT2S"
mandate = "A day takes minutes here"
"""


def prepare(daemon: Daemon, server: Sshd, sessions_per_process: int) -> int:
    """Configure a daemon for the load, and return the port of its metrics."""
    port = free_port()
    daemon.configure("server", f"sessions_per_process = {sessions_per_process}", f"login_grace = {_GRACE}")
    daemon.configure("server", "max_sessions_per_account = 100")
    daemon.configure("scheduler", "rescan_every = 2")
    daemon.configure("metrics", f'listen = "127.0.0.1:{port}"')
    head = daemon.link_config.read_text().partition('[[route]]\nname = "out"')[0]
    host_key = " ".join(server.host_public_key.split()[:2])
    about = {"user": server.user, "key": server.key_path, "root": server.root, "host_key": host_key}
    daemon.link_config.write_text(head + _ROUTES.format(port=server.port, **about))
    hashed = daemon.root / "keys/second.argon2id"
    hashed.touch(mode=0o600)
    hashed.write_text(argon2.PasswordHasher().hash("right"))
    daemon.add_account("second", 'password = "file:keys/second.argon2id"')
    for folder in (server.root / "in", server.root / "out", daemon.link / "offered", daemon.link / "brought"):
        folder.mkdir()
    for number in range(ENTRIES):
        path = daemon.inbound / "big" / f"entry-{number:05}.csv"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"name,email\nJan,jan@example.org\n")
    for name, size in (("small", 3000), ("medium", 300 * KIB), ("large", 8 * MIB)):
        (daemon.link / ".sftpd/download" / name).parent.mkdir(parents=True, exist_ok=True)
        (daemon.link / ".sftpd/download" / name).write_bytes(os.urandom(size))
        daemon.file(name, os.urandom(size))
    # The largest file of all lies there from the beginning: readers keep the memory that it takes.
    (daemon.inbound / "big/largest.bin").write_bytes(os.urandom(8 * MIB))
    make_key(daemon.desk / "stranger", "ed25519")
    asked = daemon.desk / "askpass"
    asked.write_text(f"#!/bin/sh\necho {shlex.quote('wrong')}\n")
    asked.chmod(0o700)
    return port


class Load:
    """Everybody at once, each in a thread, to the end of the context; `pause` lets the daemon come to rest.

    While it is `rough`, the configuration is reloaded, sessions are killed and the remote fails now and then.
    """

    def __init__(self, daemon: Daemon, server: Sshd, metrics: int) -> None:
        self.daemon = daemon
        self.done: Counter[str] = Counter()
        """What was done, by what it was."""
        self.faults: list[str] = []
        """What nobody should have met with."""
        self.rough = True
        self._server = server
        self._metrics = metrics
        self._numbers = itertools.count()
        self._chance = random.Random(1)
        self._stay = self._staying()
        steps: list[Callable[[], object]] = [self._exchange, self._exchange, self._cut_off, self._browse]
        steps += [self._knock, self._guess, self._ask, self._ask_for_erasure, self._drop, self._consume]
        steps += [self._disturb, lambda: next(self._stay)]
        self._threads = [threading.Thread(target=self._run, args=(step,)) for step in steps]
        self._changed = threading.Condition()
        self._busy = 0
        self._going = True
        self._stopping = False

    def __enter__(self) -> "Load":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()
        self._stay.close()

    @contextlib.contextmanager
    def pause(self) -> Iterator[None]:
        """Nobody does anything within, and all that was begun is done; one session stays, and is idle."""
        with self._changed:
            self._going = False
            assert self._changed.wait_for(lambda: not self._busy, 8 * PATIENCE)
        try:
            for _ in range(2):  # the session that stays may have been killed; then this begins another
                next(self._stay)
            assert holds(self._at_rest, 4 * PATIENCE), self.daemon.log
            yield
        finally:
            with self._changed:
                self._going = True
                self._changed.notify_all()

    def _at_rest(self) -> bool:
        status = self._call("status")
        waiting = status["outbox"] + status["queue"] + status["sessions"] - 1
        fetched = not os.listdir(self._server.root / "out")
        reloaded = self.daemon.log.count(" reloaded ") == self.done["reload"]
        return not waiting and len(self.daemon.sessions) == 1 and fetched and reloaded

    def _run(self, step: Callable[[], object]) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._going or self._stopping)
                if self._stopping:
                    return
                self._busy += 1
            try:
                step()
            except Exception:
                self.faults.append(traceback.format_exc())
            with self._changed:
                self._busy -= 1
                self._changed.notify_all()
                self._changed.wait_for(lambda: self._stopping, self._chance.uniform(0, 0.2))

    def _call(self, verb: str, **arguments: Any) -> Any:
        return call(self.daemon.root / "state/control.sock", verb, arguments)

    def _batch(self, what: str, *commands: str, options: tuple[str, ...] = ()) -> None:
        rough = self.rough
        done = self.daemon.sftp_batch(*commands, options=options)
        self.done[what] += 1
        if done.returncode != 0 and not (rough or self.rough):
            self.faults.append(f"{what}: {done.stderr}")

    def _exchange(self) -> None:
        """A partner brings files of different sizes, looks at them and fetches others."""
        number = next(self._numbers)
        sizes = self._chance.choices(("small", "medium", "large"), (8, 3, 1), k=4)
        puts = [f"put {size} /upload/{number}-{index}.bin" for index, size in enumerate(sizes)]
        gets = [f"get /download/{size} fetched-{number}" for size in self._chance.sample(sizes, 2)]
        rekey = ("-o", "RekeyLimit=8M") if number % 4 == 0 else ()
        self._batch("exchange", *puts, f"-get /upload/{number}-0.bin fetched-{number}", *gets, options=rekey)
        (self.daemon.desk / f"fetched-{number}").unlink(missing_ok=True)

    def _cut_off(self) -> None:
        """An upload whose client is killed, and another client that completes it."""
        path = f"/upload/cut-{next(self._numbers)}.bin"
        with subprocess.Popen(
            self.daemon.sftp_command("-l", str(_RATE)),
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            text=True,
            cwd=self.daemon.desk,
        ) as client:
            assert client.stdin
            client.stdin.write(f"put large {path}\n")
            client.stdin.flush()
            began = holds(lambda: any(self.daemon.staging.rglob("*")), 5)
            client.kill()
        self.done["cut off" if began else "cut off early"] += 1
        self._batch("resumed", f"-reput large {path}")

    def _browse(self) -> None:
        """A partner lists a big folder, and makes and moves things."""
        at = f"/upload/browsed-{next(self._numbers)}"
        self._batch(
            "browse",
            "ls -l /upload/big",
            f"mkdir {at}",
            f"put small {at}/new.part",
            f"rename {at}/new.part {at}/new.txt",
            f"-rm {at}/new.txt",
            f"-rmdir {at}",
            "-ls /upload/none",
            "df",
        )

    def _staying(self) -> Iterator[None]:
        """A partner whose one session lasts as long as it is let."""
        while True:
            try:
                with self.daemon.sftp() as client:
                    while True:
                        self._use(client)
                        self.done["use of one session"] += 1
                        yield
            except (OSError, EOFError, paramiko.SSHException) as error:
                if not self.rough:
                    self.faults.append(f"the session that stays: {error!r}")
                yield

    def _use(self, client: paramiko.SFTPClient) -> None:
        name = f"/upload/stays-{next(self._numbers)}"
        with client.open(f"{name}.part", "wb") as remote:
            remote.write(os.urandom(self._chance.randrange(200 * KIB)))
        client.stat(f"{name}.part")
        client.rename(f"{name}.part", f"{name}.bin")
        client.listdir("/upload/big")
        with client.open("/download/medium") as remote:
            remote.read()

    def _knock(self) -> None:
        """Strangers connect and say nothing, nonsense, or little."""
        where = self.daemon.host, self.daemon.port
        with contextlib.suppress(ConnectionError), contextlib.ExitStack() as opened:
            for said in (*_GARBAGE, b"", b"SSH-2.0-patient\r\n"):
                sock = opened.enter_context(socket.create_connection(where, PATIENCE))
                self.done["knock"] += 1
                sock.sendall(said)
                if said in _GARBAGE or self._chance.random() < 0.05:
                    while sock.recv(4096):
                        pass

    def _guess(self) -> None:
        """Strangers try another's key, a name that is none, and a wrong password."""
        daemon = self.daemon
        assert daemon.sftp_batch("ls", key=daemon.desk / "stranger").returncode != 0
        assert daemon.sftp_batch("ls", user="nobody").returncode != 0
        command = [
            word.replace("BatchMode=yes", "BatchMode=no") for word in daemon.sftp_command(user="second")
        ]
        asking = {"SSH_ASKPASS": str(daemon.desk / "askpass"), "SSH_ASKPASS_REQUIRE": "force"}
        wrong = subprocess.run(
            command,
            env=os.environ | asking,
            input="ls\n",
            capture_output=True,
            text=True,
            timeout=4 * PATIENCE,
        )
        assert wrong.returncode != 0
        self.done["guess"] += 3

    def _ask(self) -> None:
        """Operators look at this and that, and dispose of what is due."""
        for verb in ("status", "link.list", "account.list", "remote.list", "host-key.list", "transfer.list"):
            self._call(verb)
        hold = self._call("hold.add", link="demo", glob="*.held", reason="load", by="me")["id"]
        plan = self._call("retention.plan")["plan"]
        self._call("hold.release", id=hold, by="me")
        with contextlib.suppress(DaemonError):  # it is another plan by now
            self._call("retention.run", plan=plan)
        with contextlib.suppress(DaemonError):
            self._call("retention.run", plan=self._call("retention.plan", link="demo")["plan"])
        last = self._call("audit.tail", link="demo", count=5)[-1]
        self._call("audit.prove", link="demo", index=last["index"])
        with urllib.request.urlopen(f"http://127.0.0.1:{self._metrics}/metrics", timeout=PATIENCE) as told:
            told.read()
        self.done["ask"] += 1

    def _ask_for_erasure(self) -> None:
        """A person of whom nothing lies here asks for her deletion."""
        who = f"email=somebody-{next(self._numbers)}@example.org"
        request = self._call("erasure.open", link="demo", identifiers=[who], by="me")["id"]
        with contextlib.suppress(DaemonError):  # a reload or a moving folder may be in the way
            for step in ("find", "approve", "run", "certificate"):
                self._call(f"erasure.{step}", id=request, by="me")
            self.done["erasure"] += 1

    def _drop(self) -> None:
        """Local people offer files and send them, and the partner has some fetched."""
        number = next(self._numbers)
        for folder in (self.daemon.link / "offered", self.daemon.link / "brought", self._server.root / "out"):
            (folder / f"dropped-{number}.bin").write_bytes(os.urandom(self._chance.randrange(100 * KIB)))
            self.done["drop"] += 1

    def _consume(self) -> None:
        """Local people and the partner take away most of what has come."""
        offered = self.daemon.link / ".sftpd/download"
        for folder in (self.daemon.inbound, self._server.root / "in", offered):
            for path in folder.glob("[!.]*.bin"):
                if self._chance.random() < 0.8:
                    path.unlink(missing_ok=True)
                    self.done["consume"] += 1

    def _disturb(self) -> None:
        """Now and then something happens to the daemon, its sessions or the remote."""
        with self._changed:
            self._changed.wait_for(lambda: self._stopping or not self._going, 3)
        if not self.rough:
            return
        what = self._chance.choice(("reload", "reload", "session killed", "remote restarted"))
        if what == "reload":
            self.daemon.configure_link("[retention]", f"version = {next(self._numbers) + 1}")
            os.kill(self.daemon.pid, signal.SIGHUP)
        elif what == "session killed":
            with contextlib.suppress(ProcessLookupError, IndexError):
                os.kill(self._chance.choice(self.daemon.sessions), signal.SIGKILL)
        else:
            self._server.kill()
            self._server.start()
        self.done[what] += 1
