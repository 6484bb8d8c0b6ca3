"""A link that is full, as programs of partners meet it, until its consumer has made room."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from clients_port import ClientError, Program
from daemon import Daemon
from test_clients_lftp import Lftp
from test_clients_rclone import Rclone
from test_clients_sshfs import Sshfs
from waiting import until

FULL = "limit of 1048576 bytes stored here reached"
SAYS = {Lftp: FULL, Rclone: FULL, Sshfs: "Input/output error"}


@pytest.fixture(params=list(SAYS), ids=lambda kind: kind.name)
def program(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Program]:
    daemon = Daemon(tmp_path / "instance")
    daemon.configure_link("link", 'storage = "1 MiB"')
    with daemon, request.param(daemon) as made:
        yield made


def room(program: Program) -> int | None:
    """How many bytes it says there is room for, where it can be asked."""
    match program:
        case Sshfs():
            figures = os.statvfs(program.mount / "upload")
            return figures.f_bavail * figures.f_frsize
        case Rclone():
            about: dict[str, int] = json.loads(program.do("about", "--json", ":sftp:/upload"))
            return about["free"]
    return None


def puts(program: Program, local: Path, remote: bytes) -> bool:
    """Whether it went; what was taken away is not counted as room again while counting took long just now."""
    try:
        program.put(local, remote)
    except ClientError:
        return False
    return True


def test_what_has_no_room_fails_and_is_not_published_until_the_consumer_has_made_some(
    program: Program,
) -> None:
    first, second = program.daemon.desk / "first", program.daemon.desk / "second"
    for each in (first, second):
        each.write_bytes(os.urandom(700_000))
    program.put(first, program.path("first"))
    with pytest.raises(ClientError, match=SAYS[type(program)]):
        program.put(second, program.path("second"))
    assert [path.name for path in program.inbound.iterdir()] == ["first"]
    available = room(program)
    assert available is None or 0 <= available < 1 << 20
    (program.inbound / "first").unlink()
    until(lambda: puts(program, second, program.path("second")))
    until((program.inbound / "second").exists)
    assert (program.inbound / "second").read_bytes() == second.read_bytes()
    assert {event["data"]["limit"] for event in program.daemon.events_of("limit.reached")} == {"STORAGE"}
