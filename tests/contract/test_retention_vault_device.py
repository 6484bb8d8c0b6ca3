"""What a disposal leaves on the device itself, which knows no files."""

import os
import random

from mounts import ext4
from test_retention_vault import Archived
from vault_scene import make_vault, read

from sftpd.files.data_keys import WrappingKey
from sftpd.files.sealed import CHUNK

MARK = b"marker of a file that crossed the link / "


def test_after_a_disposal_neither_content_nor_wrapped_key_is_on_the_device(tmp_path, monkeypatch):
    wrapped: list[bytes] = []
    wrap = WrappingKey.wrap

    def remembered(self, key, context):
        wrapped.append(wrap(self, key, context))
        return wrapped[-1]

    monkeypatch.setattr(WrappingKey, "wrap", remembered)
    disk, image = tmp_path / "disk", tmp_path / "image"
    contents = [MARK * (number + 1) + random.Random(number).randbytes(CHUNK) for number in range(20)]
    with ext4(image, disk):
        plain = disk / "plain"
        plain.write_bytes(b"a file that was only unlinked " * 1000)
        os.sync()
        plain.unlink()
        (tmp_path / "vault").symlink_to(disk / "vault")
        scene = Archived(tmp_path, vault=make_vault(disk))
        sealed = [scene.archive(f"{number}.csv", content=content) for number, content in enumerate(contents)]
        assert [read(scene.vault, copy) for copy in sealed] == contents
        scene.vault.close()
    written = all(key in image.read_bytes() for key in wrapped)
    with ext4(image, disk):
        assert set(scene.run().values()) == {"disposed"}
        scene.vault.close()
        scene.ledger.close()
    after = image.read_bytes()
    assert not any(key in after for key in wrapped)
    assert len(wrapped) == 20
    assert written, "they were there, so that their absence says something"
    assert b"a file that was only unlinked" in after, "what is unlinked alone stays on this device"
    for content in contents:
        assert MARK not in after
        pieces = (content[start : start + 64] for start in range(0, len(content), 64))
        assert not any(piece in after for piece in random.Random(1).sample(list(pieces), 16))
