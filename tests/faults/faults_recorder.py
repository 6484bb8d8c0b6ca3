"""A FUSE file system of one file, with a record of its writes: python faults_recorder.py IMAGE MOUNT RECORD.

MOUNT/image shows IMAGE. Each write and each fsync is in RECORD before it is answered, so that the size of
RECORD is a clock: what somebody hears of was done by operations that end before the size it has then.
"""

import os
import stat
import struct
import sys
from typing import Any

import mfusepy

HEAD = struct.Struct("<qq")
"""What precedes the bytes of a write: its offset and length; an fsync has FLUSH and no bytes."""
FLUSH = -1
NAME = "image"


class Recorder(mfusepy.Operations):
    """The file system, for one thread."""

    use_ns = True

    def __init__(self, image: str, record: str) -> None:
        self._image = os.open(image, os.O_RDWR)
        self._record = os.open(record, os.O_WRONLY | os.O_APPEND)

    def getattr(self, path: str, _fh: int | None = None) -> dict[str, Any]:
        if path == "/":
            return {"st_mode": stat.S_IFDIR | 0o700, "st_nlink": 2}
        if path != f"/{NAME}":
            raise FileNotFoundError(2, path)
        return {"st_mode": stat.S_IFREG | 0o600, "st_nlink": 1, "st_size": os.fstat(self._image).st_size}

    def readdir(self, _path: str, _fh: int) -> list[str]:
        return [".", "..", NAME]

    def open(self, _path: str, _flags: int) -> int:
        return self._image

    def read(self, _path: str, size: int, offset: int, fh: int) -> bytes:
        return os.pread(fh, size, offset)

    def write(self, _path: str, data: bytes, offset: int, fh: int) -> int:
        os.writev(self._record, [HEAD.pack(offset, len(data)), data])
        return os.pwrite(fh, data, offset)

    def fsync(self, _path: str, _datasync: int, _fh: int) -> None:
        os.write(self._record, HEAD.pack(FLUSH, 0))


if __name__ == "__main__":
    _image, _mount, _record = sys.argv[1:]
    mfusepy.FUSE(Recorder(_image, _record), _mount, foreground=True, nothreads=True, fsname="faults")
