"""A vault: what it acknowledged can be read, what it destroyed nobody reads, wherever it is killed."""

import errno
import itertools
import os
import shutil
import signal
import threading

import pytest
from vault_scene import SECRET, killed_at, make_vault, put, read, sealed_files, vault_in

from sftpd.errors import NotFoundError
from sftpd.files.beneath import Root
from sftpd.files.data_keys import KeyFileError
from sftpd.files.sealed import CHUNK, SealError
from sftpd.files.vault import Vault, VaultError


def test_a_copy_is_read_after_a_restart_and_is_gone_once_destroyed(tmp_path):
    contents = [b"", b"one", bytes(CHUNK), os.urandom(2 * CHUNK + 1)]
    with vault_in(tmp_path) as vault:
        copies = [put(vault, content) for content in contents]
        assert len(set(copies)) == len(contents)
    with vault_in(tmp_path) as vault:
        assert [read(vault, copy) for copy in copies] == contents
        assert vault.holds(copies[1])
        assert vault.destroy(copies[1])
        assert not vault.destroy(copies[1])
        assert not vault.holds(copies[1])
        with pytest.raises(NotFoundError, match="it was destroyed"):
            read(vault, copies[1])
        assert read(vault, copies[3]) == contents[3]
    assert copies[1] not in sealed_files(tmp_path)


def test_nobody_else_reads_vault_or_keys(tmp_path):
    with vault_in(tmp_path) as vault:
        put(vault, b"one")
    files = [path for name in ("vault", "keys") for path in (tmp_path / name).rglob("*") if path.is_file()]
    assert len(files) == 2
    assert {path.stat().st_mode & 0o777 for path in files} == {0o600}
    assert (tmp_path / "keys").stat().st_mode & 0o777 == 0o700


def test_neither_file_has_a_word_of_the_content(tmp_path):
    with vault_in(tmp_path) as vault:
        put(vault, b"a person of interest " * 10_000)
    for path in tmp_path.rglob("*"):
        assert not path.is_file() or b"person of interest" not in path.read_bytes()


def test_a_restored_backup_of_the_files_stays_unreadable(tmp_path):
    with vault_in(tmp_path) as vault:
        copy = put(vault, b"one")
        shutil.copytree(tmp_path / "vault", tmp_path / "backup")
        vault.destroy(copy)
    shutil.rmtree(tmp_path / "vault")
    shutil.copytree(tmp_path / "backup", tmp_path / "vault")
    with vault_in(tmp_path) as vault:
        assert sealed_files(tmp_path) == [copy]
        with pytest.raises(NotFoundError, match="no key"):
            read(vault, copy)


def test_another_key_opens_nothing_and_is_noticed_before_it_is_used(tmp_path):
    with vault_in(tmp_path) as vault:
        copy = put(vault, b"one")
    with vault_in(tmp_path, secret=bytes(32)) as vault:
        with pytest.raises(KeyFileError, match="by another key"):
            vault.require_key()
        with pytest.raises(KeyFileError, match="by another key"):
            read(vault, copy)
        assert vault.destroy(copy), "to destroy a copy takes no key"


def test_a_copy_in_the_place_of_another_is_not_taken_for_it(tmp_path):
    with vault_in(tmp_path) as vault:
        one, two = put(vault, b"one"), put(vault, b"two")
        folder = tmp_path / "vault"
        shutil.copy(folder / one[:2] / one, folder / two[:2] / two)
        with pytest.raises(SealError, match="not as it was sealed"):
            read(vault, two)


def test_a_disk_that_fails_leaves_neither_key_nor_bytes(tmp_path, monkeypatch):
    with vault_in(tmp_path) as vault:
        put(vault, b"one")
        before = sealed_files(tmp_path)
        monkeypatch.setattr("sftpd.files.vault.seal", _no_space)
        with pytest.raises(VaultError, match="No space left"):
            put(vault, b"two")
        assert sealed_files(tmp_path) == before
        assert vault.destroy_others(before) == 0, "no key was left"


def _no_space(source, target, key):
    os.write(target, b"half")
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_two_processes_do_not_share_keys(tmp_path):
    with vault_in(tmp_path) as vault, vault_in(tmp_path) as other:
        put(vault, b"one")
        with pytest.raises(VaultError):
            put(other, b"two")


def test_threads_may_put_and_destroy_at_once(tmp_path):
    with vault_in(tmp_path) as vault:
        kept = {}

        def work(number):
            for each in range(20):
                copy = put(vault, b"%d-%d" % (number, each))
                if each % 2:
                    vault.destroy(copy)
                else:
                    kept[copy] = b"%d-%d" % (number, each)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert {copy: read(vault, copy) for copy in kept} == kept
        assert sealed_files(tmp_path) == sorted(kept)


def test_wherever_a_put_is_killed_nothing_acknowledged_is_unreadable_and_nothing_else_is_left(tmp_path):
    for step in itertools.count():
        folder = tmp_path / str(step)
        with vault_in(folder) as vault:
            earlier = put(vault, b"earlier")
        done = killed_at(step, folder, "put", "content")
        told = done.stdout.split()
        with vault_in(folder) as vault:
            assert not told or read(vault, told[0]) == b"content"
            vault.destroy_others({earlier, *told})
            assert read(vault, earlier) == b"earlier"
            assert sealed_files(folder) == sorted([earlier, *told])
            assert vault.destroy_others({earlier, *told}) == 0
        if done.returncode == 0:
            break
        assert done.returncode == -signal.SIGKILL, done.stderr
    assert step >= 8


def test_wherever_a_destruction_is_killed_it_can_be_finished_and_the_key_goes_first(tmp_path):
    for step in itertools.count():
        folder = tmp_path / str(step)
        with vault_in(folder) as vault:
            earlier, copy = put(vault, b"earlier"), put(vault, b"content")
        done = killed_at(step, folder, "destroy", copy)
        with vault_in(folder) as vault:
            if copy not in sealed_files(folder):
                with pytest.raises(NotFoundError, match="no key"):
                    read(vault, copy)
            vault.destroy(copy)
            assert not vault.holds(copy)
            assert read(vault, earlier) == b"earlier"
        if done.returncode == 0:
            break
        assert done.returncode == -signal.SIGKILL, done.stderr
    assert step >= 4


def test_more_unknown_copies_than_a_crash_leaves_are_kept(tmp_path, monkeypatch):
    monkeypatch.setattr("sftpd.files.vault._MOST_LEFT", 3)
    with vault_in(tmp_path) as vault:
        copies = [put(vault, b"one") for _ in range(4)]
        assert vault.destroy_others(()) == 0
        assert [read(vault, copy) for copy in copies] == [b"one"] * 4
        assert vault.destroy_others(copies[:1]) == 3
        assert sealed_files(tmp_path) == copies[:1]


def test_what_wraps_keys_may_be_another_than_ours(tmp_path):
    """As a device or a service would, which keeps its key to itself."""

    class Elsewhere:
        def __init__(self):
            self.kept = {}

        def wrap(self, key, context):
            self.kept[context] = key
            return b"by reference"

        def unwrap(self, wrapped, context):
            assert wrapped == b"by reference"
            return self.kept[context]

    make_vault(tmp_path, SECRET).close()
    vault = Vault(tmp_path / "vault", tmp_path / "keys" / "demo.keys", Elsewhere(), "demo")
    assert read(vault, put(vault, b"one")) == b"one"
    vault.close()


def test_each_step_is_on_disk_before_the_next_begins(tmp_path, monkeypatch):
    """What a power loss may undo: a name comes after its content, and the content after its key."""
    steps = []

    def noting(name, method):
        def noted(*args, **options):
            steps.append(name)
            return method(*args, **options)

        return noted

    with vault_in(tmp_path) as vault:
        first = put(vault, b"one")
        for owner, method, name in (
            (os, "fdatasync", "key"), (os, "fsync", "synced"),
            (Root, "rename", "name"), (Root, "unlink", "gone"),
        ):  # fmt: skip
            monkeypatch.setattr(owner, method, noting(name, getattr(owner, method)))
        monkeypatch.setattr("secrets.token_hex", lambda size: first[:2] + "0" * 30)
        put(vault, b"two")
        assert steps == ["key", "synced", "name", "synced"]
        steps.clear()
        vault.destroy(first)
        assert steps[:3] == ["key", "gone", "synced"]
