"""What the monitor asks of a reader, and what a reader answers."""

from sftpd.process.messages import Message


class Search(Message, frozen=True):
    """Search the file whose descriptor comes along for identifiers, each written TYPE=VALUE."""

    name: bytes
    identifiers: tuple[str, ...]


class Redact(Message, frozen=True):
    """Write the first file that comes along, without what carries an identifier, to the second.

    What is written is whole where the answer is a Found with records and not one of the whole file.
    """

    name: bytes
    identifiers: tuple[str, ...]


class Index(Message, frozen=True):
    """Write the tokens under `key` of all that the first file that comes along says to the second, packed."""

    name: bytes
    key: bytes


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


class Indexed(Answer, frozen=True):
    """The tokens are written; `unsearched` as of Found."""

    tokens: int
    unsearched: tuple[str, ...] = ()


class Unsearchable(Answer, frozen=True):
    """The content cannot be read with certainty."""

    reason: str


Question = Search | Redact
Finding = Found | Unsearchable
Tokenized = Indexed | Unsearchable
