"""A ZIP and a GZIP file that hold themselves, and so have no end.

After Russ Cox, Zip Files All The Way Down (2010).
"""

import struct
import zlib
from collections.abc import Callable

_NAME = b"a-zip-file-that-holds-itself.z"


class _Bits:
    """Deflate (RFC 1951) of fixed codes, the least significant bit first."""

    def __init__(self) -> None:
        self._bits = ""

    def add(self, value: int, width: int) -> None:
        self._bits += f"{value:0{width}b}"[::-1] if width else ""

    def code(self, value: int, width: int) -> None:
        """A Huffman code, which is packed from its most significant bit."""
        self._bits += f"{value:0{width}b}"

    def match(self, length: int, distance: int) -> None:
        symbol, base, extra = next(each for each in reversed(_lengths()) if each[1] <= length)
        self.code(symbol - 256 if symbol < 280 else symbol - 280 + 0b11000000, 7 if symbol < 280 else 8)
        self.add(length - base, extra)
        symbol, base, extra = next(each for each in reversed(_distances()) if each[1] <= distance)
        self.code(symbol, 5)
        self.add(distance - base, extra)

    def packed(self) -> bytes:
        padded = self._bits + "0" * (-len(self._bits) % 8)
        return bytes(int(padded[at : at + 8][::-1], 2) for at in range(0, len(padded), 8))


def _lengths() -> list[tuple[int, int, int]]:
    """Symbols of lengths, the least length of each and its extra bits."""
    extras = [0] * 8 + [extra for extra in range(1, 6) for _ in range(4)]
    return [(257 + at, 3 + sum(1 << each for each in extras[:at]), extra) for at, extra in enumerate(extras)]


def _distances() -> list[tuple[int, int, int]]:
    extras = [0] * 4 + [extra for extra in range(1, 14) for _ in range(2)]
    return [(at, 1 + sum(1 << each for each in extras[:at]), extra) for at, extra in enumerate(extras)]


def _literal(size: int) -> bytes:
    """The five bytes before bytes that are written as they are."""
    return struct.pack("<BHH", 0, size, size ^ 0xFFFF)


def _repeat(size: int, *lengths: int, last: bool = False, empty: int = 0) -> bytes:
    """What writes the last `size` bytes again, in matches of these lengths, and ends with a whole byte."""
    bits = _Bits()
    bits.add(last, 1)
    bits.add(1, 2)
    for length in lengths:
        bits.match(length, size)
    bits.code(0, 7)
    for _ in range(empty):
        bits.add(0b010, 3)
        bits.code(0, 7)
    return bits.packed()


def _program(before: bytes, after: bytes, again: bytes, end: bytes) -> bytes:
    """What writes `before`, itself and `after`: each line says what has been written once it has run."""
    one, four, nothing = _literal(5), _literal(20), _literal(0)
    four_again = _repeat(20, 10, 10)
    first, rest = _literal(len(before) + 5), _literal(len(end) + len(after))
    return b"".join(
        (
            *(first, before, first, again),
            *(one, again, one, one),
            *(four, again, one, one, four, four_again),
            *(four, four_again, four, four_again, four, four_again),
            *(four, four_again, nothing, nothing, rest, four_again),
            *(nothing, nothing, rest, end, after, end),
        )
    )


def _with_its_checksum(made: Callable[[int], bytes]) -> bytes:
    """The file that has its own CRC-32 in it: bits of a CRC are sums, so this is a system of 32 equations."""
    constant = zlib.crc32(made(0))
    sums = [zlib.crc32(made(1 << bit)) ^ constant ^ (1 << bit) for bit in range(32)]
    equations = [
        sum((each >> at & 1) << bit for bit, each in enumerate(sums)) | (constant >> at & 1) << 32
        for at in range(32)
    ]
    checksum = _solved(equations)
    data = made(checksum)
    assert zlib.crc32(data) == checksum
    return data


def _solved(equations: list[int]) -> int:
    """Bits 0 to 31 of each equation are unknowns, bit 32 their sum."""
    left, pivots = list(equations), list[int]()
    for bit in range(32):
        pivot = next(each for each in left if each >> bit & 1)
        left = [each ^ pivot if each >> bit & 1 else each for each in left if each is not pivot]
        pivots = [each ^ pivot if each >> bit & 1 else each for each in pivots] + [pivot]
    return sum((pivot >> 32) << bit for bit, pivot in enumerate(pivots))


def gzip_quine() -> bytes:
    """A GZIP file that unpacks to itself."""
    header = struct.pack("<2sBBLBB", b"\x1f\x8b", 8, 8, 0, 0, 255) + b"q\0"
    again, end = _repeat(17, 10, 7), _repeat(13, 5, 8, last=True)

    def made(checksum: int, size: int = 0) -> bytes:
        trailer = struct.pack("<LL", checksum, size)
        return header + _program(header, trailer, again, end) + trailer

    return _with_its_checksum(lambda checksum: made(checksum, len(made(0))))


def zip_quine() -> bytes:
    """A ZIP archive whose one member is that archive."""
    again, end = _repeat(65, 65, empty=1), _repeat(102, 102, last=True)

    def made(checksum: int, size: int = 0, packed: int = 0) -> bytes:
        said = (20, 0, 8, 0, 0x21, checksum, packed, size, len(_NAME), 0)
        local = struct.pack("<4s5H3L2H", b"PK\3\4", *said) + _NAME
        central = struct.pack("<4s6H3L5H2L", b"PK\1\2", 20, *said, *(0,) * 4, 0) + _NAME
        place = len(local) + packed
        directory = central + struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 1, 1, len(central), place, 0)
        return local + _program(local, directory, again, end) + directory

    size = len(made(0))
    packed = size - 30 - len(_NAME) - 46 - len(_NAME) - 22
    return _with_its_checksum(lambda checksum: made(checksum, size, packed))
