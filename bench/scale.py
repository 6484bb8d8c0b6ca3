"""How much is moved: enough to see that it works, or enough to believe the figures."""

from dataclasses import dataclass

MIB = 1 << 20


@dataclass(frozen=True)
class Scale:
    """The amounts of one run."""

    rounds: int
    large: int
    """Size of the large file in bytes."""
    files: int
    """Number of small files."""
    entries: int
    """Entries of the folder that is listed."""
    connections: int
    sessions: int
    """Idle sessions when memory is read."""
    moved: int
    """Size of the file that is brought to a server and fetched there, in bytes."""
    moved_files: int
    """Number of small files likewise."""


SMALL_FILE = 4096
CLIENTS = 8
CONNECTING = 16
SCALES = {
    "tiny": Scale(1, MIB, 16, 50, 4, 3, MIB, 16),
    "small": Scale(1, 64 * MIB, 200, 5_000, 16, 20, 256 * MIB, 500),
    "full": Scale(5, 1024 * MIB, 5_000, 100_000, 100, 200, 4096 * MIB, 10_000),
}
