"""An open array or object of a JSON document, as far as it is read, and what goes from it."""

from collections.abc import Iterable, Sequence

from sftpd.erasure.finder import Field
from sftpd.erasure.formats.beside import Beside
from sftpd.erasure.formats.model import Match

Heads = Sequence[Sequence[str]]


class Container:
    """An open array or object: the element being read, and the cuts among its elements."""

    def __init__(self, label: str, opened: int, *, is_array: bool, heads: Heads = ()) -> None:
        self.label = label
        self.opened = opened
        """Where it begins, in bytes."""
        self.is_array = is_array
        self.heads = heads
        """What its elements are called, where it is a row below heads."""
        self.heads_below: Heads | None = None
        """What its elements are, which are rows; None where that is not known yet."""
        self.listed: Heads | None = None
        """What lists in it say that columns are called; None where that is not known yet."""
        self.first = ""
        """The name of the first member."""
        self.beside: Beside | None = None
        self.named_hers = self.is_one = False
        """Whether what is beside a value makes it the person's, and does so by the name of one thing."""
        self.row: list[tuple[int, str]] = []
        """Of a row its scalars, and where in it they are."""
        self.shortened: dict[str, list[int]] = {}
        """Of an object the arrays that lose elements, and which."""
        self.lengths: dict[str, int] = {}
        """How many elements these have in all."""
        self.arrays = 0
        """Of an object how many members are arrays, or may be where they are passed over together."""
        self.gone: list[int] = []
        self.position = "0"
        self.key = ""
        self.start = 0
        self.hit = False
        self.all_scalar = True
        self.kept_end: int | None = None
        self.was_told = False
        self.said: list[Field] = []
        """Of an object the scalars in it, as far as they are looked at together."""
        self._index = -1
        self._run: list[Match] = []

    def begin(self, start: int, key: str | None = None) -> None:
        """Begin an element, or the member called `key`."""
        self.start, self.hit = start, False
        self._index += 1
        if not self._index and key is not None:
            self.first = key
        self.key = key or ""
        self.position = str(self._index) if key is None else escaped(key)

    def begin_run(self, start: int, count: int) -> None:
        """Begin what is several elements, as if it were one."""
        self.start, self.hit = start, False
        self._index += count

    def holds(self, following: int, told: set[str]) -> bool:
        """Whether one of the `following` elements is `told`, or with 0 the one that has begun."""
        if not following:
            return self.position in told
        if not self.is_array:
            return True
        return not told.isdisjoint(map(str, range(self._index + 1, self._index + 1 + following)))

    def shorten(self, array: "Container") -> None:
        """Note that an array, the member just read, loses elements."""
        self.shortened[self.key], self.lengths[self.key] = array.gone, array.index + 1

    def drop(self, locator: str, end: int) -> None:
        """Note that the element just read goes."""
        self._run.append(Match(locator, self.start, end))
        self.gone.append(self._index)

    def keep(self, end: int) -> list[Match]:
        """Note that the element just read stays; return the cuts that this settles."""
        cuts = self.cuts(self.start)
        self.kept_end = end
        return cuts

    def cuts(self, next_start: int | None) -> list[Match]:
        """Settle the dropped elements since the last kept one; `next_start` is None at the container's end.

        Each takes the comma before it, or the one after it where nothing before it stays.
        """
        run, self._run = self._run, []
        if self.kept_end is not None:
            ends = [self.kept_end, *(match.end for match in run)]
            return [match._replace(start=before) for match, before in zip(run, ends, strict=False)]
        starts = [match.start for match in run[1:]] + ([] if next_start is None else [next_start])
        return [match._replace(end=after) for match, after in zip(run, starts, strict=False)] + run[
            len(starts) :
        ]

    @property
    def index(self) -> int:
        """Which of its elements is read."""
        return self._index

    @property
    def dropped(self) -> int:
        """How many elements go since the last that stays."""
        return len(self._run)

    @property
    def lists_only_the_person(self) -> bool:
        """What goes by its place alone says nothing of what is around it."""
        hers = bool(self._run) and not self.was_told
        return self.is_array and self.all_scalar and self.kept_end is None and hers


def below(label: str, first: str, key: str) -> str:
    """What a value stands under in an object under `label`: its key, behind the one around it.

    `first` is the name of the first member. An object whose members have the numbers of rows is a column,
    whose values stand under its own label.
    """
    if first == "0" and escaped(key).isdecimal():
        return label
    return f"{label.rpartition('.')[2]}.{escaped(key)}"


def escaped(key: str) -> str:
    """A key as it stands in a pointer (RFC 6901)."""
    return key.replace("~", "~0").replace("/", "~1")


def pointer(containers: Iterable[Container]) -> str:
    """Where one is in a document (RFC 6901)."""
    return "".join("/" + container.position for container in containers)
