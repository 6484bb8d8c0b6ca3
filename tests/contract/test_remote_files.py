"""Every method of Remote against a real OpenSSH server."""

import fcntl
import hashlib
import os
from dataclasses import replace
from pathlib import Path

import pytest
from remote_scene import NAME, LocalFile, download, listed, login_at, place, remotes_for, remove
from sshd import sshd

from sftpd.errors import RemoteError, RemoteFailedError, RemoteRefusedError
from sftpd.exchange.remote import Download, Look, RemoteFile, Upload, only

CHILDREN = ["sftpd.ssh.courier"]

ODD_NAME = b"caf\xe9 \xff\n.csv"
MEGABYTE = 1 << 20


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with sshd(tmp_path_factory.mktemp("sshd")) as running:
        yield running


@pytest.fixture
def root(server, tmp_path):
    """A fresh folder at the remote."""
    folder = server.root / tmp_path.name
    folder.mkdir()
    return os.fsencode(folder)


@pytest.fixture
def remote(children, server):
    remotes = remotes_for(children, login_at(server))
    with remotes.borrow(NAME) as borrowed:
        yield borrowed
    remotes.close()


def content(path):
    return Path(os.fsdecode(path)).read_bytes()


@pytest.mark.parametrize(
    ("size", "proof"),
    [(0, "sha256"), (1, "sha256"), (32 * 1024, "sha256"), (MEGABYTE, "sha256"), (5 * MEGABYTE + 1, "size")],
)
def test_upload_and_download_keep_every_byte(remote, root, tmp_path, size, proof):
    file = LocalFile(tmp_path / "file", os.urandom(size))

    assert file.upload(remote, root + b"/there") == proof
    assert download(remote, root + b"/there", tmp_path / "back") == (size, file.sha256)
    assert (tmp_path / "back").read_bytes() == file.path.read_bytes()


def test_upload_makes_the_directories_above(remote, root, tmp_path):
    LocalFile(tmp_path / "file", b"deep").upload(remote, root + b"/a/b/c/file")

    assert content(root + b"/a/b/c/file") == b"deep"


def test_upload_replaces_a_longer_file(remote, root, tmp_path):
    LocalFile(tmp_path / "long", b"x" * 100_000).upload(remote, root + b"/there")
    LocalFile(tmp_path / "short", b"y").upload(remote, root + b"/there")

    assert content(root + b"/there") == b"y"


def other_than_announced(tmp_path):
    file = LocalFile(tmp_path / "file", b"announced")
    file.path.write_bytes(b"different")
    return file


def test_upload_of_a_file_that_is_not_what_was_announced_is_an_error(remote, root, tmp_path):
    with pytest.raises(RemoteError, match="changed while it was sent"):
        other_than_announced(tmp_path).upload(remote, root + b"/there")


def test_upload_ignores_the_offset_of_the_descriptor(remote, root, tmp_path):
    file = LocalFile(tmp_path / "file", b"whole")
    fd = os.open(file.path, os.O_RDONLY)
    os.lseek(fd, 3, os.SEEK_SET)
    only(remote.upload([Upload(fd, root + b"/there", file.size, file.sha256)]))
    os.close(fd)

    assert content(root + b"/there") == b"whole"


def test_names_that_are_not_utf8_work_everywhere(remote, root, tmp_path):
    LocalFile(tmp_path / "file", b"odd").upload(remote, root + b"/part")
    place(remote, root + b"/part", root + b"/" + ODD_NAME)

    assert [file.name for file in listed(remote, root + b"/")] == [ODD_NAME]
    assert remote.size(root + b"/" + ODD_NAME) == 3
    assert download(remote, root + b"/" + ODD_NAME, tmp_path / "back")[0] == 3
    remove(remote, root + b"/" + ODD_NAME)
    assert remote.size(root + b"/" + ODD_NAME) is None


def test_place_replaces_what_is_there(remote, root, tmp_path):
    LocalFile(tmp_path / "old", b"old").upload(remote, root + b"/final")
    LocalFile(tmp_path / "new", b"new").upload(remote, root + b"/part")
    place(remote, root + b"/part", root + b"/final")

    assert content(root + b"/final") == b"new"
    assert os.listdir(root) == [b"final"]


def test_size_of_nothing_is_none(remote, root):
    assert remote.size(root + b"/nothing") is None
    assert remote.size(root + b"/no/such/folder") is None


def test_list_names_regular_files_in_order(remote, root):
    names = sorted(b"%04d.csv" % number for number in range(1200))
    for name in names:
        with open(root + b"/" + name, "wb") as file:
            file.write(name)
        os.utime(root + b"/" + name, (0, 1_600_000_000))
    os.mkdir(root + b"/folder")
    os.symlink(b"0001.csv", root + b"/link")

    assert listed(remote, root + b"/") == [RemoteFile(name, 8, 1_600_000_000) for name in names]


def test_list_of_an_empty_directory_is_empty(remote, root):
    assert listed(remote, root) == []


@pytest.mark.parametrize(
    "act",
    [
        lambda remote, path, target: listed(remote, path),
        download,
    ],
)
def test_what_is_not_there_is_an_error_that_says_so(remote, root, tmp_path, act):
    with pytest.raises(RemoteError, match=r"partner: .*No such file") as caught:
        act(remote, root + b"/nothing", tmp_path / "target")
    assert not isinstance(caught.value, RemoteRefusedError)


def test_what_is_gone_need_not_be_removed_or_placed_unless_its_folder_is_gone_too(remote, root):
    remove(remote, root + b"/nothing")
    place(remote, root + b"/nothing", root + b"/other")
    for act in (remove, lambda remote, path: place(remote, path, root + b"/other")):
        with pytest.raises(RemoteFailedError, match="and so is its folder"):
            act(remote, root + b"/no/nothing")


def test_a_connection_that_refused_is_of_use_and_one_that_failed_is_not(remote, root, tmp_path):
    with pytest.raises(RemoteError):
        listed(remote, root + b"/nothing")
    assert listed(remote, root) == []
    with pytest.raises(RemoteError, match="changed while it was sent"):
        other_than_announced(tmp_path).upload(remote, root + b"/there")
    with pytest.raises(RemoteError, match="failed before"):
        listed(remote, root)


def test_what_the_account_may_not_do_is_refused_for_good(children, tmp_path):
    read_only = "Match all\nForceCommand internal-sftp -R"
    with sshd(tmp_path / "sshd") as server:
        server.config.write_text(server.config.read_text() + read_only)
        server.kill()
        server.start()
        remotes = remotes_for(children, login_at(server))
        with pytest.raises(RemoteRefusedError, match="PERMISSION_DENIED"), remotes.borrow(NAME) as remote:
            LocalFile(tmp_path / "file", b"x").upload(remote, os.fsencode(server.root / "file"))
        remotes.close()


def test_a_server_without_extensions_gets_plain_requests(children, tmp_path):
    with sshd(tmp_path / "sshd") as server:
        denied = "posix-rename,fsync"
        server.config.write_text(
            server.config.read_text().replace("internal-sftp", f"internal-sftp -P {denied}")
        )
        server.kill()
        server.start()
        remotes = remotes_for(children, login_at(server))
        root = os.fsencode(server.root)
        with remotes.borrow(NAME) as remote:
            LocalFile(tmp_path / "old", b"old").upload(remote, root + b"/final")
            LocalFile(tmp_path / "new", b"new").upload(remote, root + b"/part")
            place(remote, root + b"/part", root + b"/final")
        remotes.close()
        assert (server.root / "final").read_bytes() == b"new"


@pytest.mark.parametrize("key_type", ["rsa", "ecdsa"])
def test_other_kinds_of_key_log_in(children, tmp_path, key_type):
    with sshd(tmp_path / "sshd", key_type=key_type) as server:
        remotes = remotes_for(children, login_at(server))
        with remotes.borrow(NAME) as remote:
            assert listed(remote, os.fsencode(server.root)) == []
        remotes.close()


def test_downloaded_hash_is_of_the_bytes(remote, root, tmp_path):
    with open(root + b"/file", "wb") as file:
        file.write(b"content" * 100_000)
    _, sha256 = download(remote, root + b"/file", tmp_path / "back")

    assert sha256 == hashlib.sha256((tmp_path / "back").read_bytes()).hexdigest()


def _tree(root, *paths):
    """Files at the remote, the first one oldest."""
    for number, path in enumerate(paths):
        at = Path(os.fsdecode(root), path)
        at.parent.mkdir(parents=True, exist_ok=True)
        at.write_bytes(path.encode())
        os.utime(at, (number, number))


def _names(listing):
    return [file.name.decode() for file in listing.files]


def test_a_look_goes_into_folders_only_where_that_is_asked_for_and_never_through_links(remote, root):
    _tree(root, "b", "a", "deep/er/c")
    Path(os.fsdecode(root), "deep/loop").symlink_to("..")
    Path(os.fsdecode(root), "file").symlink_to("a")

    assert _names(remote.look(root, Look())) == ["a", "b"]
    assert _names(remote.look(root, Look(recursive=True))) == ["a", "b", "deep/er/c"]
    assert _names(remote.look(root + b"/", Look(recursive=True, oldest_first=True))) == [
        "b",
        "a",
        "deep/er/c",
    ]


def test_a_look_for_folders_names_those_in_it_and_follows_no_link(remote, root):
    _tree(root, "a", "9/er/c", "10/x", ".hidden/y", "8/z")
    Path(os.fsdecode(root), "link").symlink_to("9")
    folders = Look(folders=True)
    assert _names(remote.look(root, folders)) == [".hidden", "10", "8", "9"]
    assert _names(remote.look(root, replace(folders, after=RemoteFile(b"10", 0, 0), limit=1))) == ["8"]
    assert _names(remote.look(root + b"/absent", folders)) == []
    assert _names(remote.look(root, Look())) == ["a"], "the connection is of use"


@pytest.mark.parametrize("oldest_first", [True, False])
def test_a_look_is_cut_and_goes_on_behind_where_it_was(remote, root, oldest_first):
    _tree(root, *(f"{number:03}" for number in range(450)))
    look = Look(oldest_first=oldest_first, limit=201)
    first = remote.look(root, look)
    assert (len(first.files), first.left_out) == (201, 249)
    second = remote.look(root, replace(look, after=first.files[-1]))
    third = remote.look(root, replace(look, after=second.files[-1]))
    assert _names(first) + _names(second) + _names(third) == [f"{number:03}" for number in range(450)]
    assert third.left_out == 0


def test_a_look_leaves_out_what_lies_too_deep_and_what_it_may_not_read(remote, root):
    deep, deeper = "d/" * 15 + "x", "d/" * 16 + "x"
    _tree(root, deep, deeper)
    listing = remote.look(root, Look(recursive=True))
    assert _names(listing) == [deep]
    assert listing.left_out == 1


def test_a_file_moves_into_folders_that_are_made_if_so_asked(remote, root):
    _tree(root, "a")
    with pytest.raises(RemoteError):
        place(remote, root + b"/a", root + b"/done/deep/a")
    remotes_place = root + b"/done/deep/a"
    place(remote, root + b"/a", remotes_place, make_folders=True)
    assert content(remotes_place) == b"a"


@pytest.mark.parametrize("size", [0, 1, 32 * 1024, 32 * 1024 + 1, 5 * MEGABYTE + 1])
def test_a_file_of_known_size_comes_whole(remote, root, tmp_path, size):
    file = LocalFile(tmp_path / "file", os.urandom(size))
    file.upload(remote, root + b"/there")
    for known in (size, None):
        assert _download(remote, root + b"/there", tmp_path / "back", known) == (size, file.sha256)


def test_of_a_file_that_shrank_what_there_is_comes_and_one_that_grew_is_an_error(remote, root, tmp_path):
    _tree(root, "four")
    assert _download(remote, root + b"/four", tmp_path / "back", 100_000)[0] == 4
    with pytest.raises(RemoteError, match="grew"):
        _download(remote, root + b"/four", tmp_path / "back", 3)


def _download(remote, path, target, size):
    fd = os.open(target, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        return only(remote.download([Download(path, fd, size)]))
    finally:
        os.close(fd)


def test_a_file_is_closed_by_the_courier_before_it_counts_as_fetched(remote, root, tmp_path):
    """The receiver takes no file that somebody may still write to."""
    Path(os.fsdecode(root), "there").write_bytes(b"small")
    for number in range(200):
        target = tmp_path / str(number)
        download(remote, root + b"/there", target)
        fd = os.open(target, os.O_RDONLY)
        try:
            fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        finally:
            os.close(fd)
