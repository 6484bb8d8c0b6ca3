"""Which files were handed over, in a few bytes each: pure."""

from array import array

from sftpd.files.beneath import Parts
from sftpd.files.fingerprint import Snapshot

_EMPTY, _DROPPED = 0, 1
_SLOTS = 1024
_BITS = (1 << 63) - 1


class Marks:
    """For each path a mark of the snapshot that was handed over: 24 to 64 bytes a file.

    A hash table with open addressing of 63-bit hashes. Two paths that share a hash displace each other's
    mark, and both are handed over again, which harms nobody; a file is mistaken for one that was handed
    over only where its path and its snapshot both collide.
    """

    def __init__(self) -> None:
        self._paths = _slots(_SLOTS)
        self._marks = _slots(_SLOTS)
        self._used = 0
        self._count = 0
        self._round = 0

    def __len__(self) -> int:
        return self._count

    def __contains__(self, path: Parts) -> bool:
        return self._slot(_hash_of(path)) is not None

    def holds(self, path: Parts, snapshot: Snapshot) -> bool:
        """Whether this very snapshot was marked; to be asked keeps a mark through the round."""
        slot = self._slot(_hash_of(path))
        mark = _mark_of(snapshot)
        if slot is None or self._marks[slot] >> 1 != mark:
            return False
        self._marks[slot] = mark << 1 | self._round
        return True

    def put(self, path: Parts, snapshot: Snapshot) -> None:
        """Mark the snapshot, in place of an older one."""
        key = _hash_of(path)
        slot = self._slot(key)
        if slot is None:
            if self._used * 3 >= len(self._paths) * 2:
                self._rebuild()
            slot = self._free(key)
            self._used += self._paths[slot] == _EMPTY
            self._count += 1
            self._paths[slot] = key
        self._marks[slot] = _mark_of(snapshot) << 1 | self._round

    def drop(self, path: Parts) -> None:
        """Forget a path, if it is known."""
        slot = self._slot(_hash_of(path))
        if slot is not None:
            self._drop(slot)

    def begin_round(self) -> None:
        """From now on tell marks that are asked for or put from those that are not."""
        self._round ^= 1

    def end_round(self) -> None:
        """Forget every path that was neither asked for nor put since the round began."""
        for slot, key in enumerate(self._paths):
            if key > _DROPPED and self._marks[slot] & 1 != self._round:
                self._drop(slot)
        if self._count * 8 < len(self._paths) > _SLOTS:
            self._rebuild()

    def _slot(self, key: int) -> int | None:
        paths, last = self._paths, len(self._paths) - 1
        slot = key & last
        while (found := paths[slot]) != key:
            if found == _EMPTY:
                return None
            slot = slot + 1 & last
        return slot

    def _free(self, key: int) -> int:
        paths, last = self._paths, len(self._paths) - 1
        slot = key & last
        while paths[slot] > _DROPPED:
            slot = slot + 1 & last
        return slot

    def _drop(self, slot: int) -> None:
        self._paths[slot] = _DROPPED
        self._count -= 1

    def _rebuild(self) -> None:
        """Make the table as large as its marks need, without the slots of dropped ones."""
        paths, marks = self._paths, self._marks
        size = _SLOTS
        while size < self._count * 2:
            size *= 2
        self._paths, self._marks = _slots(size), _slots(size)
        for key, mark in zip(paths, marks, strict=True):
            if key > _DROPPED:
                slot = self._free(key)
                self._paths[slot], self._marks[slot] = key, mark
        self._used = self._count


def _slots(count: int) -> "array[int]":
    return array("Q", bytes(8 * count))


def _hash_of(path: Parts) -> int:
    return (hash(b"/".join(path)) & _BITS) + 2


def _mark_of(snapshot: Snapshot) -> int:
    return hash(snapshot) & _BITS
