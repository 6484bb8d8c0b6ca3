"""What the lines of a long listing tell of files."""

import re

from clients_port import Seen

_LINE = re.compile(
    rb"^(?P<mode>[-d][-rwxsStT]{9})\S* +\S+ +\S+ +\S+ +(?P<size>\d+)"
    rb" +\w{3} +\d+ +(?:\d{4}|\d\d:\d\d) (?P<name>.+)$",
    re.MULTILINE,
)


def parse(listing: bytes, name: bytes) -> Seen:
    """Size and mode of the file of that name; its time is too coarse to compare."""
    found = next(found for found in _LINE.finditer(listing) if found["name"] == name)
    bits = 0
    for letter in found["mode"][1:]:
        bits = bits << 1 | (letter not in b"-ST")
    return Seen(int(found["size"]), bits, None)


def names(listing: bytes) -> set[bytes]:
    """The names at the ends of the lines."""
    return {found["name"] for found in _LINE.finditer(listing)} - {b".", b".."}
