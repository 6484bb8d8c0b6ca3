"""What a session does by name to a file that it is writing itself."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from account_sessions import Session, close


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    with Session(tmp_path) as session:
        yield session


def published(base: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (base / "published/upload").iterdir()}


def staged(base: Path) -> list[str]:
    return [path.name for path in (base / "staging/upload").iterdir()]


def test_it_is_cut_by_its_name(session: Session, tmp_path: Path) -> None:
    file = session.client.open("/upload/cut", "wb")
    file.write(b"0123456789")
    session.client.truncate("/upload/cut", 4)
    assert session.client.stat("/upload/cut").st_size == 4
    file.write(b"!")
    close(file)
    assert published(tmp_path) == {"cut": b"0123\0\0\0\0\0\0!"}


@pytest.mark.parametrize("name", ["old", "old.part"])
def test_it_is_published_under_the_name_that_it_has_when_it_is_closed(
    session: Session, tmp_path: Path, name: str
) -> None:
    file = session.client.open(f"/upload/{name}", "wb")
    file.write(b"first ")
    session.client.rename(f"/upload/{name}", "/upload/new")
    assert published(tmp_path) == {}
    file.write(b"and second")
    close(file)
    assert published(tmp_path) == {"new": b"first and second"}
    assert staged(tmp_path) == []
    assert session.client.listdir("/upload") == ["new"]


def test_it_is_renamed_over_what_is_published(session: Session, tmp_path: Path) -> None:
    session.put("/upload/there", b"older")
    file = session.client.open("/upload/here", "wb")
    file.write(b"newer")
    with pytest.raises(OSError, match="file exists"):
        session.client.rename("/upload/here", "/upload/there")
    session.client.posix_rename("/upload/here", "/upload/there")
    assert published(tmp_path) == {"there": b"older"}
    close(file)
    assert published(tmp_path) == {"there": b"newer"}


def test_what_is_published_takes_its_place_and_its_close_is_refused(session: Session, tmp_path: Path) -> None:
    session.put("/upload/winner", b"wins")
    file = session.client.open("/upload/loser", "wb")
    file.write(b"loses")
    session.client.posix_rename("/upload/winner", "/upload/loser")
    with pytest.raises(FileNotFoundError):
        close(file)
    assert published(tmp_path) == {"loser": b"wins"}


@pytest.mark.parametrize("gone", ["removed", "renamed", "closed"])
def test_its_name_is_free_once_it_is_gone(session: Session, tmp_path: Path, gone: str) -> None:
    file = session.client.open("/upload/name", "wb")
    file.write(b"one")
    match gone:
        case "removed":
            session.client.remove("/upload/name")
        case "renamed":
            session.client.rename("/upload/name", "/upload/other")
        case "closed":
            close(file)
    session.put("/upload/name", b"two")
    assert published(tmp_path) == {"name": b"two"}


def test_it_is_open_for_writing_once(session: Session, tmp_path: Path) -> None:
    file = session.client.open("/upload/once", "wb")
    file.write(b"one")
    with pytest.raises(OSError, match="in use"):
        session.client.open("/upload/once", "r+b")
    close(file)
    assert published(tmp_path) == {"once": b"one"}
