"""Named crash points: each place where a process of sftpd changes something lasting, and its death there.

sftpd knows nothing of this. `daemon_stage` puts the steps below between it and its callers before it runs
`sftpd serve`, and in the zygote before it forks any child. What they are to do stands on a board, which all
processes of the daemon share and which is written while it runs.
"""

import functools
import importlib
import json
import mmap
import os
import signal
import threading
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

VARIABLE = "SFTPD_FAULTS"
"""The environment variable with the path of the board."""
PASSED, REACHED = "crash-point passed ", "crash-point reached "
"""How the lines begin that tell, on standard error, of a point that was passed and of one that was obeyed."""

_FOLDERS = (
    *("inbound", "outbound", "quarantine", "failed", "sent", "staging"),
    *("screening", "download", "requests", "receipts", "state"),
)
_COUNT, _TEXT = slice(0, 8), slice(8, 1024)
_TRACE = b"trace"


@dataclass(frozen=True)
class Order:
    """Have the process end before or after the `call`-th time that it passes the point.

    With `stop` it stops there instead, for whoever watches to end the monitor at that moment.
    """

    point: str
    when: Literal["before", "after"] = "after"
    call: int = 1
    act: Literal["kill", "stop"] = "kill"

    def __str__(self) -> str:
        return f"{self.act} {self.when} {self.point} ({self.call})"


@dataclass(frozen=True)
class Step:
    """A function of sftpd, as MODULE:NAME or MODULE:CLASS.NAME, and what a call of it is called.

    `label` gets the arguments; None is for a call that changes nothing. `finish` gets them after the call,
    and has what it did leave the process before the point behind it.
    """

    where: str
    label: Callable[..., list[str] | str | None]
    finish: Callable[..., object] = lambda *_, **__: None


class Board:
    """What is to happen at the points: a text in a file, after how often the point of an order was passed."""

    def __init__(self, path: Path) -> None:
        with path.open("a+b") as file:
            file.truncate(_TEXT.stop)
            self._memory = mmap.mmap(file.fileno(), _TEXT.stop)
        self.environment = {VARIABLE: str(path)}
        """What a daemon needs to read it."""

    def order(self, order: Order) -> None:
        """Have this obeyed from now on."""
        self._write(json.dumps(asdict(order)).encode())

    def trace(self) -> None:
        """Have each point told of from now on."""
        self._write(_TRACE)

    def wipe(self) -> None:
        """Have nothing happen from now on."""
        self._write(b"")

    def close(self) -> None:
        """Let the memory go."""
        self._memory.close()

    def read(self) -> bytes:
        """The text."""
        return self._memory[_TEXT].rstrip(b"\0")

    def count(self) -> int:
        """Count one more pass of the order's point, and return how many there were."""
        count = int.from_bytes(self._memory[_COUNT], "big") + 1
        self._memory[_COUNT] = count.to_bytes(8, "big")
        return count

    def _write(self, text: bytes) -> None:
        self._memory[:] = bytes(8) + text.ljust(_TEXT.stop - _TEXT.start, b"\0")


class Points:
    """The points of this process."""

    def __init__(self) -> None:
        self.role = "monitor"
        self._board: Board
        self._text = b""
        self._order: Order | None = None
        self._lock = threading.Lock()
        self._committing: list[str] = []
        """What the transaction under way changes; only who has the ledger's turn adds to it."""

    def arm(self, role: str) -> None:
        """Put every step in place and do as the board says."""
        self.role = role
        self._board = Board(Path(os.environ[VARIABLE]))
        for step in STEPS:
            self._put(step)

    def arm_children(self) -> None:
        """The same in the zygote, for whatever it forks."""
        self.arm("zygote")
        forked = importlib.import_module("sftpd.process.forked")
        detach = forked._detach

        @functools.wraps(detach)
        def named(kind: str, fds: tuple[int, ...], zygote: int) -> None:
            self.role = kind
            detach(kind, fds, zygote)

        forked._detach = named

    def around(self, labels: list[str] | str | None, work: Callable[[], Any]) -> Any:
        """Do `work` with the points before and after it."""
        names = [labels] if isinstance(labels, str) else labels or []
        points = [f"{self.role}: {name}" for name in names]
        due = [point for point in points if self._pass(point)]
        for point in due:
            self._obey(point, "before")
        try:
            return work()
        finally:
            for point in due:
                self._obey(point, "after")

    def statement(self, statement: Any, _conn: object, *rows: dict[str, Any]) -> list[str] | None:
        """What a statement of the ledger adds to the transaction; for a commit, all that it makes last."""
        writer = importlib.import_module("sftpd.ledger.writer")
        if statement is writer._COMMIT:
            committing, self._committing = self._committing, []
            return [f"commit {name}" for name in dict.fromkeys(committing)] or ["commit of something else"]
        if statement is writer._ROLLBACK:
            self._committing = []
        self._committing += _changes(statement, rows)
        return None

    def _put(self, step: Step) -> None:
        module, _, path = step.where.partition(":")
        owner: Any = importlib.import_module(module)
        *classes, name = path.split(".")
        for part in classes:
            owner = getattr(owner, part)
        method = getattr(owner, name)

        @functools.wraps(method)
        def stepped(*args: Any, **options: Any) -> Any:
            def work() -> Any:
                result = method(*args, **options)
                step.finish(*args, **options)
                return result

            return self.around(step.label(*args, **options), work)

        setattr(owner, name, stepped)

    def _pass(self, point: str) -> bool:
        """Whether this is the time that counts."""
        with self._lock:
            text = self._board.read()
            if text != self._text:
                self._text = text
                self._order = Order(**json.loads(text)) if text not in (b"", _TRACE) else None
            if text == _TRACE:
                _say(PASSED + point)
            order = self._order
            return order is not None and point == order.point and self._board.count() == order.call

    def _obey(self, point: str, when: str) -> None:
        assert self._order is not None
        if self._order.when != when:
            return
        _say(f"{REACHED}{os.getpid()} {self._order}")
        os.kill(os.getpid(), signal.SIGKILL if self._order.act == "kill" else signal.SIGSTOP)


def _say(text: str) -> None:
    os.write(2, text.encode() + b"\n")


def _changes(statement: Any, rows: tuple[dict[str, Any], ...]) -> Iterator[str]:
    clause = statement._clause
    table = getattr(getattr(clause, "table", None), "name", None)
    if table == "transfer":
        for row in rows:
            if state := row.get("after") or row.get("state"):
                yield state_point(state)
    elif table == "outbox" and "event" not in (rows or ({},))[0]:
        yield "outbox emptied"


def state_point(state: str) -> str:
    """What the change of a transfer to `state` is called."""
    return f"transfer {state}"


def _folder(root: Any) -> str:
    known = [part for part in Path(root.label).parts if part in _FOLDERS]
    return known[-1] if known else "elsewhere"


def _opened(root: Any, _parts: object, flags: int, *_: object) -> str | None:
    return f"create in {_folder(root)}" if flags & os.O_CREAT else None


def _replaced(path: Path, *_: object, **__: object) -> str:
    return f"replace {'tile' if 'tile' in path.parts else path.name}"


def _request(_channel: object, kind: int, *fields: bytes, **_: object) -> str:
    if kind != 200:
        names = {3: "OPEN", 4: "CLOSE", 5: "READ", 8: "FSTAT", 9: "SETSTAT", 11: "OPENDIR", 12: "READDIR"}
        more = {13: "REMOVE", 14: "MKDIR", 16: "REALPATH", 17: "STAT", 18: "RENAME"}
        return f"request {(names | more)[kind]}"
    return f"request {fields[0][4:].decode().partition('@')[0]}"


def _sent(channel: Any, *_: object, **__: object) -> None:
    """Have the socket take what the packetizer would send when somebody waits."""
    channel._wire._flush()


def _message(_self: object, message: object, *_: object, **__: object) -> str:
    return f"message {type(message).__name__}"


POINTS = Points()

STEPS = (
    Step("sftpd.ledger.statement:Statement.run", POINTS.statement),
    Step(
        "sftpd.files.beneath:Root.rename",
        lambda root, _, other, *__, **___: f"rename {_folder(root)} to {_folder(other)}",
    ),
    Step("sftpd.files.beneath:Root.unlink", lambda root, *_: f"unlink in {_folder(root)}"),
    Step("sftpd.files.beneath:Root.mkdir", lambda root, *_: f"make folder in {_folder(root)}"),
    Step("sftpd.files.beneath:Root.rmdir", lambda root, *_: f"remove folder in {_folder(root)}"),
    Step("sftpd.files.beneath:Root.open", _opened),
    Step("sftpd.files.durable:sync_parent", lambda root, _: f"sync folder in {_folder(root)}"),
    Step("sftpd.files.durable:sync_file", lambda root, _: f"sync file in {_folder(root)}"),
    Step("sftpd.files.durable:write_atomically", lambda *_: "write a whole file"),
    Step("sftpd.audit.journal:Journal.append", lambda *_: "append to the journal"),
    Step("sftpd.audit.journal:replace_file", _replaced),
    Step("sftpd.audit.log:replace_file", _replaced),
    Step("sftpd.ssh.courier_connection:Connection._call", _message),
    Step("sftpd.ssh.courier:Work.do", _message),
    Step("sftpd.ssh.courier:_write", lambda *_: "write what is fetched"),
    Step("sftpd.ssh.courier_channel:CourierChannel.ask", _request, _sent),
    Step("sftpd.ssh.courier_channel:CourierChannel.write", lambda *_: "request WRITE", _sent),
    Step("sftpd.ssh.uploads:ask", _message),
    Step("sftpd.ssh.open_file:Upload.write", lambda *_: "write a part"),
    Step("sftpd.ssh.open_file:Upload.sync", lambda *_: "sync a part"),
)
"""Where sftpd changes what lasts, here or at a remote, and where its processes hear that it was done."""
