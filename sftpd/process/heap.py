"""The C heap of a process that runs for long: it stays as large as what is in it."""

import ctypes

_LARGE = 256 << 10
_ARENAS = 2
_M_MMAP_THRESHOLD = -3
_M_ARENA_MAX = -8
"""The options of mallopt(3)."""


def keep_compact() -> None:
    """Have large blocks mapped by themselves, for good, and few arenas; for glibc, and nothing with another.

    It begins so, but once a large block was freed those of its size come from the heap, where small blocks
    that stay come to lie between them: the holes are too small for the next large one, and the heap grows and
    grows. Of arenas there would be eight for each processor, each with its own holes. They keep threads out
    of each other's way, as the interpreter's lock does already.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _LARGE)
        mallopt(_M_ARENA_MAX, _ARENAS)


def give_back() -> None:
    """Give the kernel back the pages in which nothing is (malloc_trim(3)); takes some milliseconds."""
    malloc_trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if malloc_trim is not None:
        malloc_trim(0)
