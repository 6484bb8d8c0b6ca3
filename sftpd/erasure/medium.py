"""What a removal does to the bytes of a content, by where it lies."""

import re
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

_MOUNTS = Path("/proc/self/mountinfo")
_ESCAPED = re.compile(r"\\([0-7]{3})")


class Way(StrEnum):
    """How a content goes: its name and blocks are let go of, or the key that seals it is destroyed."""

    UNLINKED = "unlinked"
    KEY_DESTROYED = "key_destroyed"


class Kind(StrEnum):
    """What a file system does with the blocks that are let go of."""

    IN_PLACE = "in_place"
    COPY_ON_WRITE = "copy_on_write"
    NETWORK = "network"
    MEMORY = "memory"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Medium:
    """Where contents lie: how they go, and the type of the file system; None where that is not known."""

    way: Way
    file_system: str | None = None


_KINDS = {
    **dict.fromkeys(("ext2", "ext3", "ext4", "xfs", "jfs", "vfat", "exfat"), Kind.IN_PLACE),
    **dict.fromkeys(("btrfs", "zfs", "bcachefs", "f2fs", "nilfs2"), Kind.COPY_ON_WRITE),
    **dict.fromkeys(("nfs", "nfs4", "cifs", "smb3", "9p", "ceph", "glusterfs"), Kind.NETWORK),
    **dict.fromkeys(("tmpfs", "ramfs"), Kind.MEMORY),
}


def kind_of(file_system: str | None) -> Kind:
    """What is known of a type of file system."""
    if file_system is not None and file_system.startswith("fuse"):
        return Kind.NETWORK
    return _KINDS.get(file_system or "", Kind.UNKNOWN)


def file_system(path: Path) -> str | None:
    """The type of the file system at a path, as the kernel calls it (proc_pid_mountinfo(5))."""
    try:
        mounts = _MOUNTS.read_text("utf-8", "surrogateescape").splitlines()
        wanted = path.resolve()
    except OSError:
        return None
    found: tuple[int, str | None] = (0, None)
    for line in mounts:
        before, _, after = line.partition(" - ")
        point = Path(_ESCAPED.sub(lambda code: chr(int(code[1], 8)), before.split(" ")[4]))
        # Of two mounts at one point the later hides the earlier.
        if len(point.parts) >= found[0] and wanted.is_relative_to(point):
            found = (len(point.parts), after.split(" ")[0])
    return found[1]
