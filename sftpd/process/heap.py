"""The C heap of a process that runs for long: large blocks go back to the kernel once they are freed."""

import ctypes

_LARGE = 256 << 10
_M_MMAP_THRESHOLD = -3
"""The option of mallopt(3)."""


def keep_large_apart() -> None:
    """Have large blocks mapped by themselves, for good; does nothing where the C library is not glibc.

    It begins so, but once one was freed those of its size come from the heap, where small blocks that stay
    come to lie between them: the holes are too small for the next large one, and the heap grows and grows.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _LARGE)
