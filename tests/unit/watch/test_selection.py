import pytest

from sftpd.config.link_model import OutboundSection
from sftpd.files.staging import looks_temporary
from sftpd.watch.selection import TEMPORARY, Selection


def admits(selection, path):
    return selection.admits(tuple(path.split(b"/")))


@pytest.mark.parametrize(
    "path",
    [
        b".hidden",
        b"a.part",
        b"a.filepart",
        b"a.PARTIAL",
        b"d/a.tmp",
        b"a~",
        b".in.a.",
        b".d/a.csv",
        b"d/.e/a",
    ],
)
def test_temporary_and_hidden_names_are_never_meant(path):
    assert not admits(Selection(), path)


@pytest.mark.parametrize("path", [b"part", b"a.part1", b"\xff.csv", b"d\xff/\xfe", b"tmp.csv", b"a.csv.ok"])
def test_ordinary_names_are(path):
    assert admits(Selection(), path)


def test_what_is_temporary_is_the_same_for_uploads_for_the_watcher_and_in_the_configuration():
    for name in ("a.part", "a.filepart", "a.partial", "a.tmp", "a~", ".fuse_hidden01"):
        assert looks_temporary(name.encode())
    assert OutboundSection.model_fields["temporary"].default == TEMPORARY
    assert len(TEMPORARY) == 6


def test_temporary_names_can_be_others():
    selection = Selection(temporary=("*.busy", "in/*"))
    assert admits(selection, b"a.part")
    assert not admits(selection, b"a.BUSY")
    assert not admits(selection, b"in/a.csv")


def test_a_pattern_without_a_slash_is_for_names_and_one_with_a_slash_for_paths():
    selection = Selection(include=("*.csv", "all/*"), exclude=("x*", "all/not/*"))
    admitted = [b"a.csv", b"d/a.csv", b"all/a.txt", b"all/d/a.txt"]
    assert all(admits(selection, path) for path in admitted)
    refused = [b"a.txt", b"d/a.txt", b"x.csv", b"d/x.csv", b"all/x.txt", b"all/not/a.csv", b"d/all/a.txt"]
    assert not any(admits(selection, path) for path in refused)


def test_patterns_are_matched_on_bytes():
    assert admits(Selection(include=("caf?.csv",)), b"caf\xe9.csv")
    assert admits(Selection(include=("café.*",)), "café.csv".encode())
    assert not admits(Selection(include=("[!a]*",)), b"a\xff")


def test_done_files_tell_of_others_and_are_not_meant():
    selection = Selection(done_file=".ok")
    assert not admits(selection, b"d/a.csv.ok")
    assert admits(selection, b"d/a.csv")
    assert selection.announced_by((b"d", b"a.csv.ok")) == (b"d", b"a.csv")
    assert selection.announced_by((b"a.csv",)) is None
    assert selection.announced_by((b".ok",)) is None
    assert Selection().announced_by((b"a.csv.ok",)) is None


def test_without_recursion_subfolders_are_not_entered():
    selection = Selection(recursive=False)
    assert admits(selection, b"a.csv")
    assert not admits(selection, b"d/a.csv")
    assert not selection.enters((b"d",))
    assert Selection().enters((b"d", b"e"))
    assert not Selection().enters((b".d",))
