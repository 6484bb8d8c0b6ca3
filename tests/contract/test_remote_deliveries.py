"""Deliveries to real servers of every kind, and to the double that stands for them: one contract."""

import contextlib
import dataclasses
import os
import stat

import pytest
from exchange_doubles import LocalRemote
from mounts import enlarge, small
from remote_scene import NAME, LocalFile, login_at, remotes_for
from remote_servers import SERVERS, Relay, Server

from sftpd.errors import NotPlacedError, RemoteError
from sftpd.exchange.remote import Publication, Published, Upload, only
from sftpd.link.model import Handling

CHILDREN = ["sftpd.ssh.courier"]

PART = ".sftpd-1.part"
BIG = 6 << 20
OFFER_HASHES = ("sftpd",)
TELL_HASHES = ("sftpd", "proftpd")
WRITES_ANYWHERE = ("openssh", "openssh-chrooted", "proftpd", "asyncssh", "sftpd")


@pytest.fixture(scope="module")
def running(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("servers")
    if request.param == "double":
        yield Server("double", None, b"/", (folder,))
        return
    with SERVERS[request.param](folder / "s") as server:
        yield server


REAL = pytest.mark.parametrize("running", SERVERS, indirect=True)
EVERY = pytest.mark.parametrize("running", [*SERVERS, "double"], indirect=True)


@pytest.fixture
def server(running, tmp_path):
    """The server with a folder for this test alone."""
    name = tmp_path.name
    for place in running.places:
        (place / name).mkdir(parents=True)
    places = tuple(place / name for place in running.places)
    return dataclasses.replace(running, directory=running.at(name), places=places)


@pytest.fixture
def borrow(children):
    """Borrow a connection to a server that is handled so."""

    @contextlib.contextmanager
    def borrowing(server, **handling):
        remotes = remotes_for(children, login_at(server.login, handling=Handling(**handling)))
        with contextlib.closing(remotes), remotes.borrow(NAME) as remote:
            yield remote

    return borrowing


@pytest.fixture
def remote(running, server, borrow):
    """A server and a connection to it."""
    if server.name == "double":
        yield server, LocalRemote(running.places[0])
        return
    with borrow(server) as connection:
        yield server, connection


def publish(server, connection, name, *, replace=True, part=PART):
    files = [Publication(server.at(part), server.at(name))]
    return only(connection.publish(files, folder=server.directory, replace=replace, look=True))


def other(byte):
    return bytes([byte[0] ^ 1])


def uploaded(server, connection, tmp_path, content=b"ours", part=PART):
    file = LocalFile(tmp_path / "file", content)
    file.upload(connection, server.at(part))
    return file


@EVERY
def test_what_is_published_is_whole_and_under_its_name_alone(remote, tmp_path):
    server, connection = remote
    content = os.urandom(70_000)
    assert LocalFile(tmp_path / "file", content).upload(connection, server.at(PART)) == "sha256"
    assert publish(server, connection, "final.csv") == Published("renamed", 70_000)
    assert (server.content("final.csv"), server.names()) == (content, ["final.csv"])


@REAL
def test_that_a_file_moves_is_known_once_before_it_is_all_there(server, borrow, tmp_path):
    file, sizes = LocalFile(tmp_path / "file", os.urandom(16 << 20)), []
    with file.path.open("rb") as source, borrow(server) as connection:
        order = Upload(source.fileno(), server.at(PART), file.size, file.sha256)
        (proof,) = connection.upload([order], None, lambda: sizes.append(server.local(PART).stat().st_size))
    assert proof in ("sha256", "size")
    assert len(sizes) == 1
    assert sizes[0] < file.size


@EVERY
def test_what_is_there_is_replaced(remote, tmp_path):
    server, connection = remote
    server.put("final.csv", b"theirs, and longer")
    uploaded(server, connection, tmp_path)
    assert publish(server, connection, "final.csv") == Published("renamed", 4)
    assert (server.content("final.csv"), server.content(PART)) == (b"ours", None)


@EVERY
def test_what_must_not_be_replaced_stays(remote, tmp_path):
    server, connection = remote
    server.put("final.csv", b"theirs")
    uploaded(server, connection, tmp_path)
    assert publish(server, connection, "final.csv", replace=False).outcome == "taken"
    assert (server.content("final.csv"), server.content(PART)) == (b"theirs", b"ours")


@EVERY
@pytest.mark.parametrize("replace", [True, False])
def test_to_publish_again_does_nothing_and_says_so(remote, tmp_path, replace):
    server, connection = remote
    uploaded(server, connection, tmp_path)
    assert publish(server, connection, "final.csv", replace=replace) == Published("renamed", 4)
    assert publish(server, connection, "final.csv", replace=replace) == Published("gone", 4)
    assert server.content("final.csv") == b"ours"


@EVERY
def test_a_file_that_was_taken_away_is_gone_and_not_seen(remote, tmp_path):
    server, connection = remote
    uploaded(server, connection, tmp_path)
    publish(server, connection, "final.csv")
    only(connection.remove([server.at("final.csv")]))
    assert publish(server, connection, "final.csv") == Published("gone", None)


@REAL
@pytest.mark.parametrize("posix_rename", [True, False])
def test_a_folder_in_the_way_is_a_refusal_and_the_file_is_still_there(server, borrow, tmp_path, posix_rename):
    (server.places[-1] / "final.csv" / "a").mkdir(parents=True)
    with borrow(server, posix_rename=posix_rename) as connection:
        uploaded(server, connection, tmp_path)
        for _ in range(2):
            with pytest.raises(NotPlacedError, match="its final name"):
                publish(server, connection, "final.csv")
    assert server.content(PART) == b"ours"


@EVERY
def test_where_the_folder_is_gone_too_nothing_is_said_of_the_file(remote):
    server, connection = remote
    missing = server.at("missing")
    files = [Publication(missing + b"/part", missing + b"/final")]
    with pytest.raises(RemoteError, match="so is its folder"):
        only(connection.publish(files, folder=missing + b"/", replace=True, look=True))


@EVERY
def test_content_is_known_by_size_and_hash(remote, tmp_path):
    server, connection = remote
    file = uploaded(server, connection, tmp_path, b"content")
    same = {"size": file.size, "sha256": file.sha256}
    assert connection.holds(server.at(PART), **same)
    assert not connection.holds(server.at(PART), **same | {"size": 6})
    assert not connection.holds(server.at(PART), **same | {"sha256": "0" * 64})


@REAL
def test_the_proof_is_the_best_that_can_be_had(server, borrow, tmp_path):
    file = LocalFile(tmp_path / "file", os.urandom(BIG))
    for handling, proof in (
        ({}, "sha256" if server.name in OFFER_HASHES else "size"),
        ({"check_file": "always"}, "sha256" if server.name in TELL_HASHES else "size"),
        ({"confirm_limit": BIG}, "sha256"),
        ({"confirm_limit": BIG, "check_file": "never"}, "sha256"),
        ({"check_file": "never"}, "size"),
        ({"confirm": "size", "confirm_limit": BIG}, "size"),
    ):
        with borrow(server, **handling, resume=False) as connection:
            assert file.upload(connection, server.at(PART)) == proof, handling


@REAL
def test_where_a_hash_is_required_and_none_is_had_the_delivery_fails(server, borrow, tmp_path):
    with (
        borrow(server, confirm="hash-required", check_file="never", confirm_limit=3) as connection,
        pytest.raises(RemoteError, match="raise confirm_limit"),
    ):
        uploaded(server, connection, tmp_path)


@REAL
@pytest.mark.parametrize("posix_rename", [True, False])
def test_both_ways_to_rename_replace(server, borrow, tmp_path, posix_rename):
    server.put("final.csv", b"theirs")
    with borrow(server, posix_rename=posix_rename) as connection:
        uploaded(server, connection, tmp_path)
        assert publish(server, connection, "final.csv").outcome == "renamed"
    assert server.content("final.csv") == b"ours"


@REAL
def test_times_and_mode_are_set_before_the_final_name(server, borrow, tmp_path):
    file = LocalFile(tmp_path / "file", b"ours")
    os.utime(file.path, (1_600_000_000, 1_500_000_000))
    with borrow(server, preserve_times=True, mode=0o644) as connection:
        file.upload(connection, server.at(PART))
        status = server.local(PART).stat()
        publish(server, connection, "final.csv")
    assert int(status.st_mtime) == 1_500_000_000
    if server.name != "rclone":  # which takes a mode and forgets it
        assert stat.S_IMODE(status.st_mode) == 0o644
    assert int(server.local("final.csv").stat().st_mtime) == 1_500_000_000


@REAL
def test_times_that_are_not_to_be_kept_are_not(server, borrow, tmp_path):
    file = LocalFile(tmp_path / "file", b"ours")
    os.utime(file.path, (1_600_000_000, 1_500_000_000))
    with borrow(server) as connection:
        file.upload(connection, server.at(PART))
    assert server.local(PART).stat().st_mtime > 1_600_000_000


@pytest.fixture
def counted(server):
    with Relay(server.login.port) as relay:
        yield relay, relay.before(server)


def sent_by(relay, server, borrow, tmp_path, content, **handling):
    """Upload over the relay; returns the bytes that went to the server."""
    file = LocalFile(tmp_path / "file", content)
    before = relay.sent
    with borrow(server, **handling) as connection:
        file.upload(connection, server.at(PART))
        assert server.content(PART) == content
    return relay.sent - before


@REAL
@pytest.mark.parametrize(
    "handling",
    [{}, {"check_file": "never"}, {"resume_limit": 0}, {"resume_limit": 0, "check_file": "always"}],
    ids=["usual", "read again", "hashed as offered", "hashed"],
)
def test_an_upload_goes_on_after_what_is_proven_to_be_there(counted, borrow, tmp_path, handling):
    relay, server = counted
    content = os.urandom(BIG)
    server.put(PART, content[: BIG - 100_000])
    sent = sent_by(relay, server, borrow, tmp_path, content, **handling)

    telling = TELL_HASHES if handling.get("check_file") == "always" else OFFER_HASHES
    if (server.name in telling or handling.get("resume_limit") != 0) and server.name in WRITES_ANYWHERE:
        assert 100_000 < sent < 1_000_000
    else:
        assert sent > BIG


@REAL
def test_a_part_that_is_the_whole_file_is_not_sent_again(counted, borrow, tmp_path):
    relay, server = counted
    content = os.urandom(BIG)
    server.put(PART, content)
    sent = sent_by(relay, server, borrow, tmp_path, content)
    assert sent < 1_000_000 or server.name == "rclone"


@REAL
@pytest.mark.parametrize(
    "spoil",
    [
        lambda content: other(content[:1]) + content[1:-5],
        lambda content: content[:-5] + other(content[-5:-4]),
        lambda content: bytes(len(content) - 5),
        lambda content: content + b"more",
    ],
    ids=["other beginning", "other end", "a hole", "longer"],
)
@pytest.mark.parametrize("check_file", ["always", "never"])
def test_a_part_that_is_not_the_files_beginning_is_begun_anew(counted, borrow, tmp_path, spoil, check_file):
    relay, server = counted
    content = os.urandom(BIG)
    server.put(PART, spoil(content))
    assert sent_by(relay, server, borrow, tmp_path, content, check_file=check_file) > BIG


@REAL
def test_without_resume_all_is_sent(counted, borrow, tmp_path):
    relay, server = counted
    content = os.urandom(BIG)
    server.put(PART, content[:-5])
    assert sent_by(relay, server, borrow, tmp_path, content, resume=False) > BIG


@REAL
def test_an_upload_that_is_cut_off_goes_on_with_the_next_connection(counted, borrow, tmp_path):
    relay, server = counted
    content = os.urandom(BIG)
    file = LocalFile(tmp_path / "file", content)
    relay.cut_after = BIG // 2
    with borrow(server) as connection, pytest.raises(RemoteError):
        file.upload(connection, server.at(PART))
    assert server.content("final.csv") is None
    relay.cut_after = None
    sent = sent_by(relay, server, borrow, tmp_path, content)
    if server.name in WRITES_ANYWHERE:
        assert sent < BIG - 500_000


@REAL
def test_of_many_that_go_together_each_has_an_answer_of_its_own(server, borrow, tmp_path):
    contents = [os.urandom(size) for size in (0, 1, 32_768, 32_769, 200_000, 70_000, 5, 6)]
    with contextlib.ExitStack() as stack:
        files = [LocalFile(tmp_path / f"{number}", content) for number, content in enumerate(contents)]
        orders = [
            Upload(os.open(file.path, os.O_RDONLY), server.at(f"deep/{number}.part"), file.size, file.sha256)
            for number, file in enumerate(files)
        ]
        for order in orders:
            stack.callback(os.close, order.fd)
        connection = stack.enter_context(borrow(server))
        uploaded(server, connection, tmp_path, part="taken")
        orders[6] = dataclasses.replace(orders[6], unless=server.at("taken"))
        orders[7] = dataclasses.replace(orders[7], sha256="0" * 64)
        *proofs, taken, failed = connection.upload(orders)
        assert proofs == ["sha256"] * 6
        assert taken == "taken"
        assert "changed while it was sent" in str(failed)

        connection = stack.enter_context(borrow(server))
        names = [
            Publication(server.at(f"deep/{number}.part"), server.at(f"deep/{number}")) for number in range(7)
        ]
        done = connection.publish(names, folder=server.directory, replace=True, look=True)
    assert done == [
        *(Published("renamed", len(content)) for content in contents[:6]),
        Published("gone", None),
    ]
    for number, content in enumerate(contents[:6]):
        assert server.content(f"deep/{number}") == content


@REAL
def test_what_a_full_server_took_is_not_sent_again_and_goes_on_once_there_is_room(counted, borrow, tmp_path):
    relay, server = counted
    content = os.urandom(BIG)
    file = LocalFile(tmp_path / "file", content)
    with small(server.places[0], BIG // 2 >> 20):
        tries = []
        for _ in range(3):
            before = relay.sent
            with borrow(server) as connection, pytest.raises(RemoteError):
                file.upload(connection, server.at(PART), ours=True)
            tries.append(relay.sent - before)
        if server.name in WRITES_ANYWHERE:
            assert max(tries[1:]) < 1_500_000, "what is sent ahead of the answers"
        enlarge(server.places[0], 2 * BIG >> 20)
        sent = sent_by(relay, server, borrow, tmp_path, content)
        if server.name in WRITES_ANYWHERE:
            assert sent < BIG - 2_000_000
