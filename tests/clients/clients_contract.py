"""The suite that every client passes: what its user does with files, and what both sides hold afterwards."""

import os
import re

import pytest
from clients_port import ODD_NAMES, Client, ClientError
from daemon import eventually
from waiting import holds

SIZES = {"nothing": 0, "one byte": 1, "33 KiB": 33 << 10, "5 MiB": 5 << 20}
PART = 150_000
WHOLE = 400_000


class Contract:
    """Subclassed in a module whose fixture `client` gives the clients that it is run on."""

    def test_it_is_the_client_it_is_taken_for(self, client: Client) -> None:
        assert re.search(client.version, client.about())

    @pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
    def test_a_file_comes_and_goes_unchanged(self, client: Client, size: int) -> None:
        content = os.urandom(size)
        name = f"sized-{size}"
        client.put(client.daemon.file(name, content), client.path(name))
        published(client, name, content)
        client.get(client.path(name), client.daemon.desk / f"{name}-back")
        assert (client.daemon.desk / f"{name}-back").read_bytes() == content

    def test_a_file_is_uploaded_over_a_longer_one(self, client: Client) -> None:
        for content in (b"a longer text", b"short"):
            client.put(client.daemon.file("over", content), client.path("over"))
            published(client, "over", content)

    def test_an_upload_begins_anew_over_a_longer_part(self, client: Client) -> None:
        break_off(client, "anew", b"a longer text")
        client.put(client.daemon.file("anew", b"short"), client.path("anew"))
        published(client, "anew", b"short")

    def test_an_upload_goes_on_where_it_broke_off(self, client: Client) -> None:
        client.needs("resume_put")
        part, whole = os.urandom(PART), os.urandom(WHOLE)
        break_off(client, "resumed", part)
        client.resume_put(client.daemon.file("resumed", whole), client.path("resumed"))
        published(client, "resumed", part + whole[PART:])

    def test_a_download_goes_on_where_it_broke_off(self, client: Client) -> None:
        client.needs("resume_get")
        part, whole = os.urandom(PART), os.urandom(WHOLE)
        (client.inbound / "fetched").write_bytes(whole)
        local = client.daemon.file("fetched", part)
        client.resume_get(client.path("fetched"), local)
        assert local.read_bytes() == part + whole[PART:]

    def test_a_file_is_renamed(self, client: Client) -> None:
        client.needs("rename")
        client.put(client.daemon.file("old", b"renamed"), client.path("old"))
        client.rename(client.path("old"), client.path("new"))
        published(client, "new", b"renamed")
        assert not (client.inbound / "old").exists()

    def test_a_file_is_renamed_over_another(self, client: Client) -> None:
        client.needs("replace")
        client.put(client.daemon.file("newer", b"newer"), client.path("newer"))
        client.put(client.daemon.file("older", b"and older"), client.path("older"))
        client.replace(client.path("newer"), client.path("older"))
        published(client, "older", b"newer")
        assert not (client.inbound / "newer").exists()

    def test_a_temporary_name_is_published_once_it_is_renamed(self, client: Client) -> None:
        client.needs("rename")
        client.put(client.daemon.file("first", b"whole"), client.path("first.part"))
        assert b"first.part" in client.names(client.home)
        assert not (client.inbound / "first.part").exists()
        client.rename(client.path("first.part"), client.path("first"))
        published(client, "first", b"whole")

    def test_a_directory_is_made_filled_and_removed(self, client: Client) -> None:
        client.needs("mkdir", "rmdir", "remove")
        client.mkdir(client.home + b"/folder")
        client.mkdir(client.home + b"/folder/inner")
        client.put(client.daemon.file("leaf", b"leaf"), client.home + b"/folder/inner/leaf")
        published(client, "folder/inner/leaf", b"leaf")
        assert client.names(client.home + b"/folder") == {b"inner"}
        client.remove(client.home + b"/folder/inner/leaf")
        client.rmdir(client.home + b"/folder/inner")
        client.rmdir(client.home + b"/folder")
        assert not (client.inbound / "folder").exists()

    def test_odd_names_are_said_and_shown(self, client: Client) -> None:
        folder = client.inbound / "odd"
        folder.mkdir(exist_ok=True)
        known = {name for what, name in ODD_NAMES.items() if what not in client.unsayable}
        for number, name in enumerate(sorted(known)):
            client.put(client.daemon.file(f"odd{number}", name), client.home + b"/odd/" + name)
        assert holds(lambda: set(os.listdir(os.fsencode(folder))) >= known)
        for name in (name for what, name in ODD_NAMES.items() if what not in client.blinding):
            (folder / os.fsdecode(name)).touch()
        assert known <= client.names(client.home + b"/odd")
        for number, name in enumerate(sorted(known)):
            client.get(client.home + b"/odd/" + name, client.daemon.desk / f"odd{number}-back")
            assert (client.daemon.desk / f"odd{number}-back").read_bytes() == name
            if "remove" not in client.lacks:
                client.remove(client.home + b"/odd/" + name)
                assert not (folder / os.fsdecode(name)).exists()

    def test_a_file_shows_its_size_mode_and_time(self, client: Client) -> None:
        client.needs("stat")
        file = client.inbound / "shown"
        file.write_bytes(b"12345")
        file.chmod(0o640)
        os.utime(file, (1_400_000_000, 1_400_000_000))
        seen = client.stat(client.path("shown"))
        assert seen.size == 5
        assert seen.mode in (0o640, None)
        assert seen.mtime in (1_400_000_000, None)

    def test_a_file_that_was_put_is_there_for_its_sender_at_once(self, client: Client) -> None:
        client.needs("stat")
        client.put(client.daemon.file("confirmed", b"confirmed"), client.path("confirmed"))
        assert client.stat(client.path("confirmed")).size == len(b"confirmed")

    def test_a_mode_is_set(self, client: Client) -> None:
        client.needs("chmod")
        file = client.inbound / "moded"
        file.write_bytes(b"")
        for mode, left in ((0o640, 0o640), (0o644, 0o644), (0o604, 0o644), (0o600, 0o640)):
            client.chmod(client.path("moded"), mode)
            assert file.stat().st_mode & 0o777 == left

    def test_a_time_is_set(self, client: Client) -> None:
        client.needs("utime")
        file = client.inbound / "dated"
        file.write_bytes(b"")
        client.utime(client.path("dated"), 1_234_567_890)
        assert file.stat().st_mtime == 1_234_567_890

    def test_a_file_is_removed_once(self, client: Client) -> None:
        client.needs("remove")
        client.put(client.daemon.file("gone", b"gone"), client.path("gone"))
        client.remove(client.path("gone"))
        assert not (client.inbound / "gone").exists()
        assert b"gone" not in client.names(client.home)
        with pytest.raises(ClientError):
            client.remove(client.path("gone"))

    def test_a_refusal_reaches_its_user(self, client: Client) -> None:
        with pytest.raises(ClientError):
            client.put(client.daemon.file("unwanted", b"unwanted"), b"/download/unwanted")
        with pytest.raises(ClientError):
            client.get(client.path("never-was"), client.daemon.desk / "never-was")
        assert not list((client.daemon.link / ".sftpd/download").iterdir())


def published(client: Client, name: str, content: bytes) -> None:
    """Wait until it is; most clients wait themselves, sshfs does not wait for the answer to its close."""
    file = client.inbound / name
    eventually(lambda: file.is_file() and file.read_bytes() == content, client.daemon)


def break_off(client: Client, name: str, content: bytes) -> None:
    """Lose a connection in the midst of an upload, and wait until the server has told of it."""
    daemon = client.daemon
    before = len(daemon.events_of("transfer.interrupted"))
    with daemon.sftp() as sftp:
        file = sftp.open(client.path(name), "w")
        file.write(content)
        sftp.sock.get_transport().close()
    eventually(lambda: len(daemon.events_of("transfer.interrupted")) > before, daemon)
    assert (client.staged / name).read_bytes() == content
