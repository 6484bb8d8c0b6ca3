"""What the monitor asks of a reader, and what a reader answers."""

from sftpd.process.messages import Message


class Search(Message, frozen=True):
    """Search the file whose descriptor comes along for identifiers, each written TYPE=VALUE."""

    name: bytes
    identifiers: tuple[str, ...]


class Redact(Message, frozen=True):
    """Write the first file that comes along, without what carries an identifier, to the second.

    Records at `places` go too, whatever they carry: locators as a search of the same content gave them.

    What is written is whole where the answer is a Found with records and not one of the whole file. To the
    third go the marks, made with `key`, of the texts that carry one; none are made where `key` is empty.
    """

    name: bytes
    identifiers: tuple[str, ...]
    places: tuple[str, ...] = ()
    key: bytes = b""


class Repeat(Message, frozen=True):
    """Redact again a file that is what it was before it was redacted, by the marks and `places` of then.

    Its descriptors are those of Redact, the third with the marks in it.
    """

    name: bytes
    key: bytes
    places: tuple[str, ...] = ()


class Answer(Message, frozen=True):
    """Base of what a reader answers."""


class Found(Answer, frozen=True):
    """The records that carry an identifier; `whole` when the file itself is the record."""

    format: str
    records: int
    locators: tuple[str, ...] = ()
    """Where they are, the first of them."""
    whole: bool = False
    unsearched: tuple[str, ...] = ()
    """Which of its parts could not be read and why, the first of them."""


class Unsearchable(Answer, frozen=True):
    """The content cannot be read with certainty."""

    reason: str


Question = Search | Redact | Repeat
Finding = Found | Unsearchable
