"""Files that hold files: each part is searched by its own format, and so is its name."""

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from sftpd.erasure.file_names import name_carries
from sftpd.erasure.formats.model import (
    NAME_OF_PART,
    BombError,
    Budget,
    Data,
    Inquiry,
    Pieces,
    UnsearchableError,
)
from sftpd.erasure.identifiers import carries

Load = Callable[[Budget], Data]
"""Returns the content of a part and charges it to a budget. Raises UnsearchableError."""

_SHOWN = 200


@dataclass(frozen=True, slots=True)
class Change:
    """What becomes of a part: `rest` gives its new content, None removes it."""

    rest: Callable[[], Pieces] | None = None


class Parts:
    """What the parts of one file hold of a person, looked at one after another."""

    def __init__(self, inquiry: Inquiry) -> None:
        self.locators: list[str] = []
        self.unsearched: list[str] = []
        self.kept = 0
        """Parts of which something stays."""
        self._inquiry = inquiry
        self._number = 0
        self._told: set[str] = set()

    def look(self, name: str, load: Load | None, *remarks: str) -> Change | None:
        """Return what becomes of the next part; None when it stays as it is.

        `load` returns its content for a budget; None stands for a part that has none; `remarks` is text
        about the part, which takes the part with it. Raises BombError.
        """
        self._number += 1
        self._inquiry.budget.enter()
        place = f"{NAME_OF_PART}{self._number}"
        if place in self._inquiry.places or self._tells(name, remarks):
            self.locators.append(place)
            if place in self._inquiry.places:
                self._inquiry.note(name, *remarks)
            if self._inquiry.apart and load:
                self._change(name, load)
            return Change()
        change = self._change(name, load) if load else None
        if change is None or change.rest:
            self.kept += 1
        return change

    @property
    def nothing_is_left(self) -> bool:
        """Whether all parts go, and so the file."""
        return bool(self.locators) and not self.kept

    def _tells(self, name: str, remarks: tuple[str, ...]) -> bool:
        known = self._inquiry.identifiers
        return any(
            name_carries(known, folder)
            for reading in _readings(name)
            for folder in reading.replace("\\", "/").split("/")
        ) or any(carries(known, remark) for remark in remarks)

    def _change(self, name: str, load: Load) -> Change | None:
        raw = name.encode("utf-8", "surrogateescape")
        told = self._tell(name)
        try:
            findings = self._inquiry.into(raw, load(self._inquiry.budget), told)
        except BombError:
            raise
        except UnsearchableError as fault:
            self.unsearched.append(f"part {self._number}: {fault.what}")
            return None
        if not findings.whole:
            self.unsearched += (f"part {self._number}, {reason}" for reason in findings.unsearched)
        if not findings.locators:
            return None
        self.locators += (f"{told}{locator}" for locator in findings.locators)
        if findings.whole:
            return Change()
        # Looked into once more when it is written, so that not all changed parts are in memory at once.
        again = self._inquiry.again
        return Change(lambda: _rest(again(), raw, load, told))

    def _tell(self, name: str) -> str:
        """What stands before the locators of the next part: its name, and which of two of that name it is."""
        shown = name[:_SHOWN].replace(": ", ":")
        if shown in self._told:
            shown = f"{shown} (part {self._number})"
        self._told.add(shown)
        return f"{shown}: "


def _readings(name: str) -> Iterator[str]:
    """A name as it is read, and as it was meant where an archive does not say how it is encoded."""
    yield name
    for taken_for, errors in (
        (("cp437", "strict"), ("utf-8", "surrogateescape")) if not name.isascii() else ()
    ):
        try:
            raw = name.encode(taken_for, errors)
        except UnicodeEncodeError:
            continue
        yield raw.decode("utf-8", "replace")
        yield raw.decode("cp1252", "replace")


def _rest(inquiry: Inquiry, name: bytes, load: Load, told: str) -> Pieces:
    return inquiry.into(name, load(inquiry.budget), told).rest()


class DataFile(io.RawIOBase):
    """Content as a file to read, for libraries that want one."""

    def __init__(self, data: Data) -> None:
        self._data = data
        self._position = 0

    def readable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: "memoryview | bytearray") -> int:  # type: ignore[override] # the stubs' Buffer
        """Read on from the current position."""
        piece = self._data[self._position : self._position + len(buffer)]
        buffer[: len(piece)] = piece
        self._position += len(piece)
        return len(piece)

    def tell(self) -> int:
        """The current position."""
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move to another position."""
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: len(self._data)}[whence]
        if start + offset < 0:
            raise OSError("position before the beginning")
        self._position = start + offset
        return self._position
