"""The small pool of readers: who is asked, and what becomes of a file that a reader does not survive.

The code of a reader is loaded by the zygote alone: what parses others' files has no place in the monitor.
"""

import contextlib
import queue
import threading
from collections.abc import Mapping, Sequence
from copy import copy
from types import MappingProxyType

from msgspec import structs

from sftpd.erasure.layouts import Layout
from sftpd.erasure.messages import (
    Answer,
    Carried,
    Finding,
    Found,
    Index,
    Indexed,
    NoOrder,
    OrderRead,
    Question,
    Reading,
    ReadOrder,
    Redact,
    Repeat,
    Search,
    Show,
    Shown,
    Tokenized,
    Unsearchable,
    Which,
)
from sftpd.errors import MessageError, ProcessError
from sftpd.process.child import Child
from sftpd.process.pool import Children
from sftpd.process.sandbox import Sandbox, interpreter_paths

SIZE = 2
"""Readers at work at the same time."""

READER = "sftpd.erasure.reader"
"""The module of a reader's code."""

_ENTRY = f"{READER}:main"
_ANSWERS_TO: Mapping[type[Question], tuple[type[Answer], ...]] = MappingProxyType(
    {
        Search: (Found,),
        Redact: (Found,),
        Repeat: (Found,),
        Show: (Shown,),
        Which: (Carried,),
        ReadOrder: (OrderRead, NoOrder),
        Index: (Indexed,),
    }
)
"""What is answered to a question; to any, that the file cannot be read."""
_ANSWERS = Found | Indexed | Shown | Carried | Unsearchable | Reading
_MEMORY_LIMIT = 2 << 30
_CPU_LIMIT = 3600
_PATIENCE = 900.0
"""Seconds that one file may take."""
_LAST_WORDS, _BURIAL = 1.0, 10.0


class Readers:
    """Readers for any thread; each is kept for one file after another and replaced when it ends."""

    def __init__(self, children: Children, *, patience: float = _PATIENCE) -> None:
        self._children = children
        self._patience = patience
        self._at_work: set[Child] = set()
        self._stopped = threading.Event()
        self._places: queue.LifoQueue[Child | None] = queue.LifoQueue()
        for _ in range(SIZE):
            self._places.put(None)
        self.layouts: tuple[Layout, ...] = ()
        """What they are told of files by hand."""

    def knowing(self, layouts: Sequence[Layout]) -> "Readers":
        """The same readers, told what is known by hand of a link's files."""
        told = copy(self)
        told.layouts = tuple(layouts)
        return told

    def ask(self, question: Search | Redact | Repeat, fds: Sequence[int]) -> Finding:
        """Have a reader search or redact a file; `fds` stay the caller's. Raises as `show` does."""
        answer = self._ask(structs.replace(question, layouts=self.layouts), fds)
        assert isinstance(answer, Found | Unsearchable)
        return answer

    def show(self, question: Show, fd: int) -> Shown | Unsearchable:
        """Have a reader tell what a record of a file says.

        A file that a fresh reader does not survive is unsearchable; one that fails in a used reader gets a
        fresh one. Raises ProcessError when no reader can be started.
        """
        answer = self._ask(structs.replace(question, layouts=self.layouts), [fd])
        assert isinstance(answer, Shown | Unsearchable)
        return answer

    def which(self, question: Which, fd: int) -> Carried | Unsearchable:
        """Have a reader tell which identifiers a file carries. Raises as `show` does."""
        answer = self._ask(structs.replace(question, layouts=self.layouts), [fd])
        assert isinstance(answer, Carried | Unsearchable)
        return answer

    def read_order(self, fd: int) -> Reading:
        """Have a reader read an order. Raises ProcessError when no reader can be started."""
        answer = self._ask(ReadOrder(), [fd])
        if isinstance(answer, Unsearchable):
            return NoOrder("ORDER_FORM", "not an order: it cannot be read")
        assert isinstance(answer, OrderRead | NoOrder)
        return answer

    def tokens(self, question: Index, fds: Sequence[int]) -> Tokenized:
        """Have a reader write a file's tokens; as `show`."""
        answer = self._ask(question, fds)
        assert isinstance(answer, Indexed | Unsearchable)
        return answer

    def _ask(self, question: Question, fds: Sequence[int]) -> Answer:
        child = self._places.get()
        try:
            if child is not None:
                with contextlib.suppress(ProcessError, TimeoutError):
                    return self._call(child, question, fds)
                _end(child)
                child = None
            child = self._spawn()
            try:
                return self._call(child, question, fds)
            except (ProcessError, TimeoutError) as fault:
                ended, child = _end(child), None
                if self._stopped.is_set():
                    raise ProcessError("readers have stopped") from fault
                if isinstance(fault, TimeoutError):
                    return Unsearchable(f"a reader was not through it in {self._patience:g} seconds")
                return Unsearchable(f"a reader did not survive it ({ended})")
        finally:
            self._places.put(child)

    def close(self) -> None:
        """End the readers; nobody may be asking."""
        for child in [self._places.get() for _ in range(SIZE)]:
            if child is not None:
                _end(child)
            self._places.put(None)

    def stop(self) -> None:
        """End the readers for good, those at work too: who asks gets a ProcessError."""
        self._stopped.set()
        for child in tuple(self._at_work):
            child.kill()
        self.close()

    def _spawn(self) -> Child:
        return self._children.spawn(_ENTRY, kind="reader", sandbox=_sandbox(), accepts=_ANSWERS)

    def _call(self, child: Child, question: Question, fds: Sequence[int]) -> Answer:
        self._at_work.add(child)
        try:
            if self._stopped.is_set():
                raise ProcessError("readers have stopped")
            answer = child.channel.call(question, Answer, fds, timeout=self._patience)
        finally:
            self._at_work.discard(child)
        if not isinstance(answer, (*_ANSWERS_TO[type(question)], Unsearchable)):
            raise MessageError("reader answers what was not asked")
        return answer


def _sandbox() -> Sandbox:
    """What a reader is left with: its interpreter, no folder, no network."""
    return Sandbox(
        read=interpreter_paths(),
        connect_ports=(),
        files=32,
        memory=_MEMORY_LIMIT,
        processes=0,
        cpu=_CPU_LIMIT,
    )


def _end(child: Child) -> str:
    """End a reader, which ends by itself unless it is at work, and say how it ended."""
    child.channel.close()
    for patience in (_LAST_WORDS, _BURIAL):
        with contextlib.suppress(TimeoutError):
            child.wait(patience)
        child.kill()
    return str(child.ended)
