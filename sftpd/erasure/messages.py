"""What the monitor asks of a reader, and what a reader answers."""

from sftpd.erasure.layouts import Layout
from sftpd.erasure.order import Fault, Order
from sftpd.erasure.plan import Possible
from sftpd.process.messages import Message


class Search(Message, frozen=True):
    """Search the file whose descriptor comes along for identifiers, each written TYPE=VALUE."""

    name: bytes
    identifiers: tuple[str, ...]
    layouts: tuple[Layout, ...] = ()
    """What is told of files by hand, of their names the first that fits."""


class Redact(Message, frozen=True):
    """Write the first file that comes along, without what carries an identifier, to the second.

    Records at `places` go too, whatever they carry: locators as a search of the same content gave them, which
    has this `mark` where one is given.

    What is written is whole where the answer is a Found with records and not one of the whole file. To the
    third go the marks, made with `key`, of the texts that carry one; none are made where `key` is empty.
    """

    name: bytes
    identifiers: tuple[str, ...]
    layouts: tuple[Layout, ...] = ()
    places: tuple[str, ...] = ()
    mark: str = ""
    key: bytes = b""


class Repeat(Message, frozen=True):
    """Redact again a file that is what it was before it was redacted, by the marks and `places` of then.

    Its descriptors are those of Redact, the third with the marks in it.
    """

    name: bytes
    key: bytes
    places: tuple[str, ...] = ()
    layouts: tuple[Layout, ...] = ()


class Show(Message, frozen=True):
    """Tell what the records at `places` say of the file that comes along, searched for these identifiers."""

    name: bytes
    identifiers: tuple[str, ...]
    places: tuple[str, ...]
    layouts: tuple[Layout, ...] = ()


class Which(Message, frozen=True):
    """Tell which of the identifiers are in the file that comes along for certain."""

    name: bytes
    identifiers: tuple[str, ...]
    layouts: tuple[Layout, ...] = ()


class ReadOrder(Message, frozen=True):
    """Read the order in the file whose descriptor comes along."""


class Index(Message, frozen=True):
    """Write the tokens under `key` of all that the first file that comes along says to the second, packed."""

    name: bytes
    key: bytes
    layouts: tuple[Layout, ...] = ()


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
    possible: tuple[Possible, ...] = ()
    """Other records that may be the person's."""
    mark: str = ""
    """A digest of the content where there are possible matches."""


class Shown(Answer, frozen=True):
    """What records say, for somebody to look at, a digest of it, and the mark of the content with them."""

    text: str
    digest: str
    mark: str


class Carried(Answer, frozen=True):
    """The numbers, from 0, of the identifiers that are in a file."""

    numbers: tuple[int, ...]


class Indexed(Answer, frozen=True):
    """The tokens are written; `unsearched` as of Found."""

    tokens: int
    unsearched: tuple[str, ...] = ()


class Unsearchable(Answer, frozen=True):
    """The content cannot be read with certainty."""

    reason: str


class OrderRead(Answer, frozen=True):
    """What an order says."""

    order: Order


class NoOrder(Answer, frozen=True):
    """The file is no order; the text may be told to its sender."""

    reason: Fault
    text: str


Question = Search | Redact | Repeat | Show | Which | ReadOrder | Index
Finding = Found | Unsearchable
Reading = OrderRead | NoOrder
Tokenized = Indexed | Unsearchable
