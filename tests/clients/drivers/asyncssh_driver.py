"""The operations of clients_driven.py by asyncssh."""

import asyncio
import os
import sys

import asyncssh

_CHUNK = 1 << 20


class Operations:
    def __init__(self, sftp: asyncssh.SFTPClient) -> None:
        self._sftp = sftp

    async def about(self) -> list[bytes]:
        return [f"asyncssh {asyncssh.__version__}".encode()]

    async def put(self, local: bytes, remote: bytes) -> None:
        await self._sftp.put(local, remote)

    async def get(self, remote: bytes, local: bytes) -> None:
        await self._sftp.get(remote, local)

    async def resume_put(self, local: bytes, remote: bytes) -> None:
        async with self._sftp.open(remote, "r+b") as target:
            at = (await target.stat()).size
            with open(local, "rb") as source:
                source.seek(at)
                while chunk := source.read(_CHUNK):
                    await target.write(chunk, at)
                    at += len(chunk)

    async def resume_get(self, remote: bytes, local: bytes) -> None:
        with open(local, "ab") as target:
            async with self._sftp.open(remote, "rb") as source:
                while chunk := await source.read(_CHUNK, target.tell()):
                    target.write(chunk)

    async def names(self, remote: bytes) -> list[bytes]:
        return list(await self._sftp.listdir(remote))

    async def rename(self, old: bytes, new: bytes) -> None:
        await self._sftp.rename(old, new)

    async def replace(self, old: bytes, new: bytes) -> None:
        await self._sftp.posix_rename(old, new)

    async def mkdir(self, remote: bytes) -> None:
        await self._sftp.mkdir(remote)

    async def rmdir(self, remote: bytes) -> None:
        await self._sftp.rmdir(remote)

    async def stat(self, remote: bytes) -> list[bytes]:
        found = await self._sftp.stat(remote)
        return [b"%d" % number for number in (found.size, found.permissions, found.mtime)]

    async def chmod(self, remote: bytes, mode: bytes) -> None:
        await self._sftp.chmod(remote, int(mode))

    async def utime(self, remote: bytes, seconds: bytes) -> None:
        await self._sftp.utime(remote, (int(seconds), int(seconds)))

    async def remove(self, remote: bytes) -> None:
        await self._sftp.remove(remote)


async def main() -> None:
    async with (
        asyncssh.connect(
            os.environ["SFTP_HOST"],
            int(os.environ["SFTP_PORT"]),
            config=None,
            username=os.environ["SFTP_USER"],
            client_keys=[os.environ["SFTP_KEY"]],
            known_hosts=os.environ["SFTP_KNOWN_HOSTS"],
        ) as connection,
        connection.start_sftp_client() as sftp,
    ):
        operations = Operations(sftp)
        while line := await asyncio.to_thread(sys.stdin.readline):
            name, *words = line.split()
            try:
                results = await getattr(operations, name)(*map(bytes.fromhex, words)) or []
                print("ok", *(result.hex() for result in results), flush=True)
            except (OSError, asyncssh.Error, UnicodeError) as error:
                print("failed", repr(error).encode(errors="replace").hex(), flush=True)


asyncio.run(main())
