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


def unfinished(selection, *paths):
    return [path for path in paths if selection.unfinished(tuple(path.split(b"/")))]


def test_a_name_that_looks_unfinished_is_told_from_one_that_is_not_meant_at_all():
    paths = [
        b"a.csv.part",
        b"d/A.PART",
        b"a~",
        b"a.csv",
        b".a.csv.part",
        b".d/a.part",
        b".fuse_hidden01",
        b"~",
    ]
    assert unfinished(Selection(), *paths) == [b"a.csv.part", b"d/A.PART", b"a~"]
    assert unfinished(Selection(recursive=False), *paths) == [b"a.csv.part", b"a~"]
    assert not any(Selection().admits(tuple(path.split(b"/"))) for path in paths if path != b"a.csv")


def test_what_a_file_is_to_be_called_decides_whether_it_will_be_meant():
    selection = Selection(include=("*.csv", "all/*"), exclude=("x*", "*.old.csv"), done_file=".ok")
    meant = [b"a.csv.part", b"all/a.txt.tmp"]
    not_meant = [b"a.txt.part", b"x.csv.part", b"a.old.csv.part", b"a.csv.ok.tmp", b"a.csv.part.ok", b".csv~"]
    assert unfinished(selection, *meant, *not_meant) == meant


def test_what_else_says_so_is_taken_off_too_where_a_pattern_has_but_one_star():
    selection = Selection(include=("*.csv",), temporary=("~*", "new-*.busy", "in/*.x", "*.[0-9]", "?a.csv"))
    meant = [b"~a.csv", b"new-a.csv.BUSY", b"in/a.csv.x", b"1a.csv"]
    assert unfinished(selection, *meant, b"~a.txt", b"a.csv.1", b"in/b.x", b"d/a.csv.x") == meant


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
