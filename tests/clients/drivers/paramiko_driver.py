"""The operations of clients_driven.py by paramiko, whichever version is on the path."""

import os
import sys
import warnings

warnings.simplefilter("ignore")

import paramiko  # noqa: E402  # it warns of what its time did not know

_CHUNK = 1 << 20


class Operations:
    def __init__(self, sftp: paramiko.SFTPClient) -> None:
        self._sftp = sftp

    def about(self) -> list[bytes]:
        return [f"paramiko {paramiko.__version__}".encode()]

    def put(self, local: bytes, remote: bytes) -> None:
        self._sftp.put(os.fsdecode(local), remote)

    def get(self, remote: bytes, local: bytes) -> None:
        self._sftp.get(remote, os.fsdecode(local))

    def resume_put(self, local: bytes, remote: bytes) -> None:
        with open(local, "rb") as source, self._sftp.open(remote, "r+b") as target:
            target.set_pipelined(True)
            at = target.stat().st_size
            source.seek(at)
            target.seek(at)
            while chunk := source.read(_CHUNK):
                target.write(chunk)

    def resume_get(self, remote: bytes, local: bytes) -> None:
        with open(local, "ab") as target, self._sftp.open(remote, "rb") as source:
            source.seek(target.tell())
            source.prefetch()
            while chunk := source.read(_CHUNK):
                target.write(chunk)

    def names(self, remote: bytes) -> list[bytes]:
        return [os.fsencode(name) for name in self._sftp.listdir(remote)]

    def rename(self, old: bytes, new: bytes) -> None:
        self._sftp.rename(old, new)

    def replace(self, old: bytes, new: bytes) -> None:
        self._sftp.posix_rename(old, new)

    def mkdir(self, remote: bytes) -> None:
        self._sftp.mkdir(remote)

    def rmdir(self, remote: bytes) -> None:
        self._sftp.rmdir(remote)

    def stat(self, remote: bytes) -> list[bytes]:
        found = self._sftp.stat(remote)
        return [b"%d" % number for number in (found.st_size, found.st_mode, found.st_mtime)]

    def chmod(self, remote: bytes, mode: bytes) -> None:
        self._sftp.chmod(remote, int(mode))

    def utime(self, remote: bytes, seconds: bytes) -> None:
        self._sftp.utime(remote, (int(seconds), int(seconds)))

    def remove(self, remote: bytes) -> None:
        self._sftp.remove(remote)


def main() -> None:
    client = paramiko.SSHClient()
    client.load_host_keys(os.environ["SFTP_KNOWN_HOSTS"])
    client.connect(
        os.environ["SFTP_HOST"],
        int(os.environ["SFTP_PORT"]),
        os.environ["SFTP_USER"],
        key_filename=os.environ["SFTP_KEY"],
        allow_agent=False,
        look_for_keys=False,
    )
    operations = Operations(client.open_sftp())
    for line in sys.stdin:
        name, *words = line.split()
        try:
            results = getattr(operations, name)(*map(bytes.fromhex, words)) or []
            print("ok", *(result.hex() for result in results), flush=True)
        except (OSError, EOFError, paramiko.SSHException, UnicodeError) as error:
            print("failed", repr(error).encode(errors="replace").hex(), flush=True)
    client.close()


main()
