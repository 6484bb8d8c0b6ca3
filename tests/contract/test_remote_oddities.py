"""Remotes that answer oddly: nothing is lost, nothing goes twice, and nobody tries for ever."""

import contextlib
import os

import paramiko
import pytest
from exchange_scene import Scene, claim_one, contents
from odd_server import odd_server
from remote_scene import download, login_at
from waiting import until

from sftpd.errors import NotPlacedError, RemoteAwayError, RemoteError, RemoteFailedError, RemoteRefusedError
from sftpd.exchange.due import TOGETHER_SIZE
from sftpd.exchange.remote import Look
from sftpd.link.model import PARTS, Handling
from sftpd.names import RemoteName
from sftpd.ssh.remotes import CourierRemotes

CHILDREN = ["sftpd.ssh.courier"]

PEER = RemoteName("peer")
DENIED, FAILURE = paramiko.SFTP_PERMISSION_DENIED, paramiko.SFTP_FAILURE
NO_SUCH_PATH, EXISTS, WRITE_PROTECTED, NO_SPACE, QUOTA = 10, 11, 12, 14, 15


@pytest.fixture
def running(tmp_path):
    with odd_server(tmp_path / "odd") as server_and_oddities:
        yield server_and_oddities


@pytest.fixture
def odd(running):
    """What is odd about the server."""
    return running[1]


@pytest.fixture
def linked(children, running, odd, tmp_path):
    """A link whose remote is such a server."""

    @contextlib.contextmanager
    def linking(handling=None, **options):
        changes = {} if handling is None else {"handling": handling}
        login = login_at(running[0], name=PEER, **changes)
        options = {"directory": str(odd.root), "attempts": 4} | options
        with (
            contextlib.closing(CourierRemotes(children, {PEER: login})) as remotes,
            Scene(tmp_path / "scene", remotes=remotes, **options) as scene,
        ):
            scene.couriers = remotes
            yield scene

    return linking


def tried(scene, transfer, tries=3):
    """Go on with a transfer until it is at its end, or was tried so often; returns what keeps it."""
    sender = scene.senders["remote"]
    for _ in range(tries):
        scene.guard.revive()
        error = sender.advance(transfer).get(transfer)
        if error is None:
            break
        sender.postpone(transfer, error)
    return error


def deliver(scene, content=b"a;b\n", **options):
    transfer = claim_one(scene.senders["remote"], scene.drop("report.csv", content)).id
    return tried(scene, transfer, **options)


def lies_at(odd):
    """What lies at the remote: our temporary file under the name `part`."""
    return {
        "part" if name.startswith(".sftpd-") else name: content
        for name, content in contents(odd.root).items()
    }


def nothing(step, path):
    del step, path


def refusing(step, ending, status):
    """Refuse a step at paths with that ending."""
    return lambda at, path: status if at == step and path.endswith(ending) else None


class TestConfirmation:
    @pytest.mark.parametrize("status", [DENIED, FAILURE])
    def test_a_file_that_may_not_be_looked_at_once_it_has_its_name_was_delivered(self, odd, linked, status):
        odd.refuses = refusing("stat", "report.csv", status)
        with linked() as scene:
            assert deliver(scene) is None
            assert lies_at(odd) == {"report.csv": b"a;b\n"}
            assert odd.steps["rename"] == 1
            assert scene.states() == ["done"]
            assert scene.events() == {"transfer.delivered": 1}
            assert "seen" not in scene.leaves()[0]["data"]


class TestLetterBox:
    """Servers that take away or hide what was written, before anybody could look at it."""

    def test_a_file_that_is_taken_away_as_it_is_closed_is_delivered_once(self, odd, linked):
        taken = []

        def take(step, path):
            if step == "close":
                taken.append(contents(odd.root))
                os.unlink(path)

        odd.afterwards = take
        with linked(temporary=None) as scene:
            assert deliver(scene) is None
            assert taken == [{"report.csv": b"a;b\n"}]
            assert scene.states() == ["done"]
            (delivered,) = scene.leaves()
            assert (delivered["type"], delivered["data"]["proof"]) == ("transfer.delivered", "answer")
            assert delivered["data"]["seen"] is False

    @pytest.mark.parametrize("status", [DENIED, FAILURE, paramiko.SFTP_NO_SUCH_FILE])
    @pytest.mark.parametrize("temporary", [None, PARTS["prefix"]])
    def test_where_nobody_may_look_a_file_is_delivered_once(self, odd, linked, status, temporary):
        odd.refuses = refusing("stat", "", status)
        with linked(temporary=temporary) as scene:
            assert deliver(scene) is None
            assert lies_at(odd) == {"report.csv": b"a;b\n"}
            assert odd.steps["write"] == 1
            assert scene.states() == ["done"]
            assert scene.leaves()[0]["data"]["proof"] == "answer"

    @pytest.mark.parametrize("status", [DENIED, FAILURE, paramiko.SFTP_NO_SUCH_FILE])
    def test_a_rename_that_it_refuses_is_not_asked_for_for_ever(self, odd, linked, status):
        odd.refuses = lambda step, path: {"stat": DENIED, "rename": status}.get(step)
        with linked(attempts=3) as scene:
            deliver(scene, tries=9)
            assert scene.states() == ["failed"]
            assert odd.steps["rename"] <= 3
            assert lies_at(odd) == {}

    def test_one_that_is_taken_away_before_it_has_its_name_is_not_delivered(self, odd, linked):
        odd.afterwards = lambda step, path: os.unlink(path) if step == "close" else None
        with linked(attempts=2) as scene:
            assert deliver(scene) is None
            assert scene.states() == ["failed"]
            assert "before it had its name" in scene.transfers()[0].reason

    def test_one_that_is_taken_away_twice_is_not_sent_to_them_over_and_over(self, odd, linked):
        """Each may have been used as if it were delivered."""
        odd.afterwards = lambda step, path: os.unlink(path) if step == "close" else None
        with linked(attempts=9) as scene:
            deliver(scene, tries=9)
            assert odd.steps["write"] == 2
            assert scene.states() == ["failed"]
            assert 'set temporary = "none"' in scene.transfers()[0].reason
            assert scene.events() == {"transfer.failed": 1}

    def test_one_that_is_taken_away_now_and_then_is_delivered(self, odd, linked):
        """A rename that is refused says that it was not taken away that time."""

        def take(step, path):
            if step == "close" and odd.steps["write"] in (1, 3):
                os.unlink(path)

        odd.afterwards = take
        odd.refuses = lambda step, path: DENIED if step == "rename" and odd.steps["write"] == 2 else None
        with linked(attempts=9) as scene:
            assert deliver(scene, tries=9) is None
            assert scene.states() == ["done"]
            assert odd.steps["write"] == 4

    def test_where_a_hash_is_required_nobody_is_taken_at_his_word(self, odd, linked):
        odd.refuses = refusing("stat", "", DENIED)
        with linked(Handling(confirm="hash-required"), attempts=2) as scene:
            assert deliver(scene) is None
            assert scene.states() == ["failed"]


class TestStatusOfLaterDrafts:
    """Codes that version 3 has not, answered though it was agreed on."""

    @pytest.mark.parametrize(
        ("status", "name"), [(NO_SPACE, "NO_SPACE_ON_FILESYSTEM"), (QUOTA, "QUOTA_EXCEEDED")]
    )
    def test_a_remote_without_room_is_tried_later_and_named_so(self, odd, linked, status, name):
        with linked() as scene:
            odd.refuses = refusing("write", "", status)
            error = deliver(scene, tries=1)
            assert name in str(error)
            assert isinstance(error, RemoteFailedError)
            assert scene.states() == ["waiting"]
            odd.refuses = nothing
            assert tried(scene, scene.transfers()[0].id) is None
            assert lies_at(odd) == {"report.csv": b"a;b\n"}

    def test_one_that_is_write_protected_refuses(self, odd, linked):
        odd.refuses = refusing("open", "", WRITE_PROTECTED)
        with linked() as scene:
            error = deliver(scene, tries=1)
            assert isinstance(error, RemoteRefusedError)
            assert "WRITE_PROTECT" in str(error)

    def test_a_folder_that_is_said_to_be_no_path_is_made(self, odd, linked):
        folder = odd.root / "deep" / "er"
        odd.refuses = lambda step, path: NO_SUCH_PATH if step == "open" and not folder.exists() else None
        with linked(directory=str(folder)) as scene:
            assert deliver(scene, tries=1) is None
            assert lies_at(odd) == {"deep/er/report.csv": b"a;b\n"}

    def test_a_status_that_nobody_knows_is_told_by_its_number(self, odd, linked):
        odd.refuses = refusing("write", "", 4711)
        with linked() as scene:
            assert "status 4711" in str(deliver(scene, tries=1))

    @pytest.mark.parametrize("hidden", [False, True])
    @pytest.mark.parametrize(
        ("conflict", "state"), [("fail", "failed"), ("skip", "skipped"), ("keep-both", "done")]
    )
    def test_a_name_that_exists_is_settled_as_the_route_says(self, odd, linked, conflict, state, hidden):
        """Though the file there came in between, and may not be seen."""

        def refuses(step, path):
            if step == "stat" and path.endswith("/report.csv"):
                return paramiko.SFTP_NO_SUCH_FILE if hidden or not odd.steps["rename"] else None
            return EXISTS if step == "rename" and odd.steps["rename"] == 1 else None

        with linked(conflict=conflict) as scene:
            (odd.root / "report.csv").write_bytes(b"theirs")
            odd.refuses = refuses
            assert deliver(scene, tries=1) is None
            assert scene.states() == [state]
            there = lies_at(odd)
            assert there.pop("report.csv") == b"theirs"
            assert list(there.values()) == ([b"a;b\n"] if state == "done" else [])


class TestWhatLiesUnderTheFinalName:
    """It may be somebody else's."""

    def test_it_stays_where_a_transfer_that_has_no_temporary_name_is_given_up(self, odd, linked):
        (odd.root / "report.csv").write_bytes(b"theirs")
        odd.refuses = refusing("open", "", DENIED)
        with linked(temporary=None, attempts=2) as scene:
            assert deliver(scene) is None
            assert scene.states() == ["failed"]
        assert lies_at(odd) == {"report.csv": b"theirs"}

    def test_it_stays_where_ours_is_given_up_and_removed(self, odd, linked):
        (odd.root / "report.csv").write_bytes(b"theirs")
        odd.refuses = refusing("rename", "", DENIED)
        with linked(attempts=2) as scene:
            assert isinstance(deliver(scene, tries=1), NotPlacedError)
            assert lies_at(odd) == {"report.csv": b"theirs", "part": b"a;b\n"}
            assert tried(scene, scene.transfers()[0].id) is None
            assert scene.states() == ["failed"]
        assert lies_at(odd) == {"report.csv": b"theirs"}


@pytest.fixture
def pulling(odd, linked):
    """A link that pulls from such a server and then deletes or moves what it fetched."""

    def pull(then, **options):
        (odd.root / "in").mkdir()
        (odd.root / "done").mkdir()
        for name in ("a", "b", "c"):
            (odd.root / "in" / name).write_bytes(name.encode())
        where = {"remote_path": str(odd.root / "in"), "move_to": str(odd.root / "done")}
        return linked(then=then, pull=where | {"concurrency": 1} | options)

    return pull


@pytest.mark.parametrize("then", ["delete", "move"])
class TestGoneAlready:
    @pytest.mark.parametrize("status", [None, FAILURE])
    def test_a_pulled_file_that_somebody_took_away_there_is_done_with(self, odd, pulling, then, status):
        def take(step, path):
            if step not in ("remove", "rename") or not path.endswith("/b"):
                return None
            (odd.root / "in" / "b").unlink(missing_ok=True)
            return status

        odd.refuses = take
        with pulling(then) as scene:
            assert scene.collector.collect().fetched == 3
            assert odd.steps["remove"] + odd.steps["rename"] == 3
            assert scene.collector.collect().fetched == 0
            assert scene.events() == {"transfer.received": 3}
            assert contents(odd.root / "in") == {}

    def test_one_whose_folder_is_away_is_not(self, odd, pulling, then):
        """Else it would be fetched twice once the volume is back."""

        def away(step, path):
            if step in ("remove", "rename"):
                (odd.root / "in").rename(odd.root / "away")

        odd.refuses = away
        with pulling(then) as scene:
            with pytest.raises(RemoteError):
                scene.collector.collect()
            odd.refuses = nothing
            (odd.root / "away").rename(odd.root / "in")
            scene.collector.collect()
            assert scene.events() == {"transfer.received": 3}
            assert contents(odd.root / "in") == {}


class TestRefusals:
    """They cost the file that they are about, and not the connection."""

    @pytest.mark.parametrize("status", [DENIED, FAILURE])
    @pytest.mark.parametrize(("step", "then"), [("open", "leave"), ("read", "leave"), ("remove", "delete")])
    def test_a_file_that_is_refused_costs_no_login(self, odd, pulling, step, then, status):
        odd.refuses = refusing(step, "/b", status)
        with pulling(then) as scene:
            with contextlib.nullcontext() if status == DENIED else pytest.raises(RemoteError):
                scene.collector.collect()
            odd.refuses = nothing
            scene.collector.collect()
            assert scene.events() == {"transfer.received": 3}
        assert odd.logins == (1 if status == DENIED else 2)

    def test_a_session_that_fails_at_everything_is_left_for_another(self, odd, linked):
        odd.refuses = lambda step, path: FAILURE if odd.logins == 1 else None
        with linked() as scene:
            assert deliver(scene, tries=2) is None
            assert odd.logins == 2

    @pytest.mark.parametrize("step", ["open", "write", "rename"])
    def test_nor_does_one_that_is_sent(self, odd, linked, step):
        odd.refuses = refusing(step, "", DENIED)
        with linked() as scene:
            assert deliver(scene, tries=1) is not None
            odd.refuses = nothing
            assert tried(scene, scene.transfers()[0].id) is None
            assert lies_at(odd) == {"report.csv": b"a;b\n"}
        assert odd.logins == 1

    def test_a_file_that_is_refused_while_it_is_read_is_closed_and_nothing_of_it_comes_later(
        self, odd, pulling, tmp_path
    ):
        content = bytes(range(256)) * 8192
        with pulling("leave") as scene, scene.remotes.borrow(PEER) as remote:
            (odd.root / "in" / "b").write_bytes(content)
            odd.refuses = lambda step, path: FAILURE if step == "read" and odd.steps["read"] == 5 else None
            with pytest.raises(RemoteFailedError):
                download(remote, bytes(odd.root / "in" / "b"), tmp_path / "back")
            assert download(remote, bytes(odd.root / "in" / "b"), tmp_path / "back")[0] == len(content)
            assert (tmp_path / "back").read_bytes() == content
            assert remote.size(bytes(odd.root / "in" / "a")) == 1
            assert odd.steps["open"] == odd.steps["close"] == 2

    def test_a_look_that_is_refused_leaves_the_connection_of_use(self, odd, pulling):
        with pulling("leave") as scene, scene.remotes.borrow(PEER) as remote:
            with pytest.raises(RemoteFailedError):
                remote.look(b"/nowhere/", Look())
            assert remote.size(bytes(odd.root / "in" / "a")) == 1


class Disk:
    """The remote's disk, which takes so many bytes and then answers with a status."""

    def __init__(self, odd, room, status):
        self.odd, self.room, self.status = odd, room, status
        odd.refuses = self

    def __call__(self, step, path):
        is_full = step == "grow" and sum(map(len, contents(self.odd.root).values())) >= self.room
        return self.status if is_full else None


class TestFullRemote:
    CONTENT = bytes(range(256)) * (3 << 12)
    """3 MiB, in 96 packets."""

    @pytest.mark.parametrize("status", [FAILURE, NO_SPACE])
    def test_what_it_took_is_not_sent_again_however_often_it_is_tried(self, odd, linked, status):
        disk = Disk(odd, 2 << 20, status)
        with linked(attempts=9) as scene:
            assert deliver(scene, self.CONTENT, tries=3) is not None
            assert lies_at(odd) == {"part": self.CONTENT[: 2 << 20]}
            disk.room = 5 << 19
            assert tried(scene, scene.transfers()[0].id, tries=2) is not None
            assert lies_at(odd) == {"part": self.CONTENT[: 5 << 19]}
            disk.room = 9 << 20
            assert tried(scene, scene.transfers()[0].id, tries=1) is None
            assert lies_at(odd) == {"report.csv": self.CONTENT}
        assert odd.steps["write"] < 96 + 5 * 32, "no more in each try than is sent ahead of the answers"

    @pytest.mark.parametrize(
        ("handling", "size"),
        [
            (Handling(resume=False), 3 << 20),
            (Handling(resume_limit=1 << 20, check_file="never"), 3 << 20),
            (Handling(), 100_000),
        ],
        ids=["no resume", "no proof", "small"],
    )
    def test_a_part_with_which_no_try_could_go_on_is_removed(self, odd, linked, handling, size):
        Disk(odd, min(size // 2, 2 << 20), FAILURE)
        with linked(handling) as scene:
            assert deliver(scene, self.CONTENT[:size], tries=1) is not None
            assert lies_at(odd) == {}

    def test_nothing_is_left_where_nothing_could_be_written(self, odd, linked):
        Disk(odd, 0, FAILURE)
        with linked() as scene:
            assert deliver(scene, self.CONTENT, tries=1) is not None
            assert lies_at(odd) == {}

    def test_a_server_that_lets_nothing_grow_is_sent_all_of_it_anew(self, odd, linked):
        disk = Disk(odd, 2 << 20, FAILURE)
        with linked() as scene:
            assert deliver(scene, self.CONTENT, tries=1) is not None
            disk.room = 9 << 20
            old = set()

            def note(step, path):
                if step == "open":
                    (old.add if os.path.getsize(path) else old.discard)(path)

            odd.afterwards = note
            odd.refuses = lambda step, path: FAILURE if step == "write" and path in old else None
            assert tried(scene, scene.transfers()[0].id, tries=1) is None
            assert lies_at(odd) == {"report.csv": self.CONTENT}


class TestAnswersThatAreNotSo:
    """What a server says of a step is not what came of it."""

    @pytest.mark.parametrize("status", [FAILURE, paramiko.SFTP_NO_SUCH_FILE])
    @pytest.mark.parametrize("conflict", ["replace", "fail"])
    def test_a_rename_that_is_done_though_it_is_told_to_have_failed_is_one(
        self, odd, linked, status, conflict
    ):
        def renames(step, path):
            if step != "rename":
                return None
            os.rename(path, odd.root / "report.csv")
            return status

        odd.refuses = renames
        with linked(conflict=conflict) as scene:
            assert deliver(scene) is None
            assert odd.steps["write"] == odd.steps["rename"] == 1
            assert scene.states() == ["done"]
            assert scene.leaves()[0]["data"]["seen"] is True

    def test_it_is_none_where_another_file_has_the_final_name(self, odd, linked):
        (odd.root / "report.csv").write_bytes(b"old\n")

        def scanned(step, path):
            if step == "rename" and odd.steps["rename"] == 1:
                os.unlink(path)

        odd.refuses = scanned
        with linked() as scene:
            assert deliver(scene) is None
            assert odd.steps["write"] == 2
            assert lies_at(odd) == {"report.csv": b"a;b\n"}

    @pytest.mark.parametrize("then", ["delete", "move"])
    def test_a_file_that_stays_though_it_is_told_to_be_gone_is_not_fetched_again(self, odd, pulling, then):
        def stays(step, path):
            if step == "rename":
                (odd.root / "done" / os.path.basename(path)).write_bytes(b"copied")
            return paramiko.SFTP_OK if step in ("remove", "rename") and path.endswith("/b") else None

        odd.refuses = stays
        with pulling(then) as scene:
            for _ in range(3):
                with pytest.raises(RemoteFailedError, match="still there"):
                    scene.collector.collect()
            assert scene.events() == {"transfer.received": 3}
            assert contents(odd.root / "in") == {"b": b"b"}
            odd.refuses = nothing
            scene.collector.collect()
            assert scene.events() == {"transfer.received": 3}
            assert contents(odd.root / "in") == {}

    @pytest.mark.parametrize("told", [0, None])
    def test_a_size_that_is_told_too_early_is_asked_for_again(self, odd, linked, told):
        """Some servers answer a STAT before they are done with the CLOSE that was sent before it."""

        def early(step, path):
            return paramiko.SFTP_NO_SUCH_FILE if step == "stat" and odd.steps["stat"] == 1 else None

        if told is None:
            odd.refuses = early
        else:
            odd.lie = lambda size: size if odd.steps["stat"] > 1 else told
        with linked() as scene:
            assert deliver(scene) is None
            assert odd.steps["write"] == 1
            assert scene.leaves()[0]["data"]["proof"] == "sha256"

    def test_a_folder_that_is_missing_is_made_also_where_that_is_called_a_failure(self, odd, linked):
        folder = odd.root / "deep" / "er"
        odd.refuses = lambda step, path: FAILURE if step == "open" and not folder.exists() else None
        with linked(directory=str(folder)) as scene:
            assert deliver(scene) is None
            assert lies_at(odd) == {"deep/er/report.csv": b"a;b\n"}


class TestOneSessionAtATime:
    """Servers that refuse the login of who is there already."""

    def test_the_remote_is_not_suspended_for_what_it_refuses_beside_a_connection_that_works(
        self, odd, linked
    ):
        odd.most_sessions = 1
        with linked() as scene:

            def is_due():
                at = scene.guard.standing().retry_at
                return at is None or at <= scene.clock.now()

            with scene.remotes.borrow(PEER):
                for _ in range(4):
                    with pytest.raises(RemoteAwayError), scene.remotes.borrow(PEER):
                        pass
                    until(is_due)
                assert (scene.guard.standing().state, scene.guard.standing().at_once) == ("up", 1)
            for name in ("a.csv", "b.csv", "c.csv"):
                scene.queue.offer(scene.senders["remote"], scene.drop(name, b"x" * TOGETHER_SIZE))
            scene.run_queue()
            assert scene.events() == {"transfer.delivered": 3}
            assert scene.halts.standing() == []

    def test_what_others_cannot_log_in_for_is_pulled_by_one(self, odd, pulling):
        odd.most_sessions = 1
        with pulling("delete", concurrency=3) as scene:
            for name in ("d", "e", "f"):
                (odd.root / "in" / name).write_bytes(name.encode())
            odd.refuses = lambda step, path: until(lambda: odd.logins >= 2) if step == "read" else None
            assert scene.collector.collect().fetched == 6
            assert scene.events() == {"transfer.received": 6}
            assert contents(odd.root / "in") == {}
