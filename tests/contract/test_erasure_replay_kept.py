"""What was kept by decision after a backup stays when this is restored, and what was to go goes."""

import msgspec
import pytest
from erasure_scene import JAN, RECEIVED, Scene, receive
from msgspec import structs
from replay_scene import backed_up, replay, require_done, restored, texts
from replay_scene import live as live

from sftpd.erasure.erasures import Erasures
from sftpd.erasure.execute import Executor
from sftpd.erasure.grounds import Ground
from sftpd.erasure.removal import draft_name
from sftpd.erasure.replay import Result
from sftpd.erasure.request import State
from sftpd.errors import RefusedError

CHILDREN = ["sftpd.erasure.reader"]

NAME = "name=Jan Pieter de Vries"
TABLE = f"naam;mail\nJan;{JAN}\nPiet;piet@example.nl\n"
WITHOUT_JAN = "naam;mail\nPiet;piet@example.nl\n"
BOOKS = f"boek;mail\n2025;{JAN}\n2024;piet@example.nl\n"
LETTER = "Beste J.P. de Vries,\n"


def asked(scene: Scene, *identifiers: str) -> str:
    request = scene.desk.open("demo", identifiers or [f"email={JAN}"], RECEIVED, "opener")
    scene.desk.find(request)
    return request


def except_from(scene: Scene, request: str, name: bytes) -> None:
    """Search again, as before an approved plan can be changed, and except the file of that name."""
    seqs = [item.seq for item in scene.desk.find(request) if item.step.path[-1] == name]
    scene.desk.reviewer.except_files(request, seqs, Ground.LEGAL_DUTY, "books of 2025", "Ina")


def decide(scene: Scene, request: str, *, remove: bool) -> None:
    seqs = [item.seq for item in scene.desk.reviewer.matches(request)]
    scene.desk.reviewer.decide(request, seqs, remove=remove, by="Ina", reason="known")


def finish(scene: Scene, request: str) -> State:
    scene.desk.approve(request, "operator")
    return scene.desk.run(request).state


def go_on(scene: Scene, request: str) -> State:
    """What a daemon does with a request by itself, and then people who look at nothing but what is asked."""
    for interrupted in scene.desk.interrupted():
        scene.desk.run(interrupted)
    if scene.desk.show(request).state is State.APPROVED:
        return scene.desk.run(request).state
    if scene.desk.show(request).state is not State.REVIEW:
        scene.desk.find(request)
    return finish(scene, request)


@pytest.mark.parametrize("received", [False, True])
@pytest.mark.parametrize("state", [State.RECEIVED, State.REVIEW, State.APPROVED])
def test_a_file_that_was_excepted_since_stays_when_its_open_request_goes_on(live, children, state, received):
    live.put("inbound/a.csv", TABLE)
    books = live.put("inbound/books.csv", BOOKS)
    if received:
        receive(live, "r1", books)
    request = live.desk.open("demo", [f"email={JAN}"], RECEIVED, "opener")
    if state is not State.RECEIVED:
        live.desk.find(request)
    if state is State.APPROVED:
        live.desk.approve(request, "operator")
    backup = backed_up(live)
    except_from(live, request, b"books.csv")
    assert finish(live, request) is State.PARTIAL
    left = {"a.csv": WITHOUT_JAN, "books.csv": BOOKS}
    assert texts(live) == left
    with restored(live, backup, children) as again:
        require_done(replay(again))
        assert texts(again) == left
        assert go_on(again, request) is State.PARTIAL
        assert texts(again) == left
        (kept,) = [item.step for item in again.desk.items(request) if item.step.path == (b"books.csv",)]
        assert kept.reason.startswith("exception, GDPR 17(3)(b): ")


def test_an_exception_is_known_also_where_nothing_else_was_removed(live, children):
    live.put("inbound/books.csv", BOOKS)
    request = live.approved()
    backup = backed_up(live)
    except_from(live, request, b"books.csv")
    assert finish(live, request) is State.PARTIAL
    with restored(live, backup, children) as again:
        require_done(replay(again))
        assert go_on(again, request) is State.PARTIAL
        assert texts(again) == {"books.csv": BOOKS}


def test_what_one_request_left_does_not_keep_another_from_the_erasure_ledger(live):
    live.put("inbound/books.csv", BOOKS)
    live.put("inbound/other.csv", WITHOUT_JAN)
    request = asked(live)
    except_from(live, request, b"books.csv")
    assert finish(live, request) is State.PARTIAL
    assert finish(live, asked(live, "email=piet@example.nl")) is State.CLOSED
    live.erasures.require_current()


def test_a_request_that_was_approved_before_it_was_decided_otherwise_is_decided_anew(live, children):
    live.put("inbound/a.csv", TABLE)
    live.put("inbound/brief.txt", LETTER)
    live.put("sent/held.csv", TABLE)
    request = asked(live, f"email={JAN}", NAME)
    decide(live, request, remove=True)
    live.desk.approve(request, "operator")
    backup = backed_up(live)
    live.links.holds["sent", b"held.csv"] = "case 7"
    live.desk.find(request)
    decide(live, request, remove=False)
    assert finish(live, request) is State.PARTIAL
    assert texts(live) == {"a.csv": WITHOUT_JAN, "brief.txt": LETTER}
    with restored(live, backup, children) as again:
        require_done(replay(again))
        assert again.desk.show(request).approved_by is None
        with pytest.raises(RefusedError):
            again.desk.run(request)
        again.desk.find(request)
        with pytest.raises(RefusedError) as refused:
            again.desk.approve(request, "operator")
        assert refused.value.reason == "ERASURE_UNDECIDED"
        assert texts(again) == {"a.csv": WITHOUT_JAN, "brief.txt": LETTER}
        assert (again.root / "sent/held.csv").read_text() == TABLE


@pytest.mark.parametrize("still", [False, True])
def test_a_file_that_a_legal_hold_kept_stays_although_its_content_went_elsewhere(live, children, still):
    """Also where the hold was placed before the backup, and stands in it."""
    live.put("inbound/a.csv", TABLE)
    live.put("sent/held.csv", TABLE)
    backup = backed_up(live)
    live.links.holds["sent", b"held.csv"] = "case 7"
    assert finish(live, asked(live)) is State.PARTIAL
    with restored(live, backup, children) as again:
        if still:
            again.links.holds["sent", b"held.csv"] = "case 7"
        outcomes = replay(again)
        require_done(outcomes)
        assert texts(again) == {"a.csv": WITHOUT_JAN}
        assert (again.root / "sent/held.csv").read_text() == TABLE
        (listed,) = [each for each in outcomes if each.result is Result.OTHER]
        assert listed.path == (b"held.csv",)
        assert "legal hold" in listed.reason
        again.erasures.require_current()


def test_a_file_that_a_hold_kept_goes_where_it_was_erased_after_the_hold_had_ended(live, children):
    live.put("inbound/a.csv", TABLE)
    live.put("sent/held.csv", TABLE)
    backup = backed_up(live)
    live.links.holds["sent", b"held.csv"] = "case 7"
    request = asked(live)
    assert finish(live, request) is State.PARTIAL
    live.links.holds.clear()
    live.desk.find(request)
    assert finish(live, request) is State.CLOSED
    with restored(live, backup, children) as again:
        require_done(replay(again))
        assert texts(again) == {"a.csv": WITHOUT_JAN}
        assert (again.root / "sent/held.csv").read_text() == WITHOUT_JAN


def test_a_file_that_lost_records_before_it_was_excepted_loses_them_again(live, children):
    mixed = f"naam;mail\nJan;{JAN}\nJ.P. de Vries;\n"
    live.put("inbound/a.csv", mixed)
    backup = backed_up(live)
    request = asked(live, f"email={JAN}", NAME)
    decide(live, request, remove=False)
    live.put("sent/held.csv", TABLE)
    with pytest.raises(RefusedError):
        finish(live, request)
    without = "naam;mail\nJ.P. de Vries;\n"
    assert texts(live) == {"a.csv": without}
    except_from(live, request, b"held.csv")
    decide(live, request, remove=False)
    with restored(live, backup, children) as again:
        require_done(replay(again))
        assert texts(again) == {"a.csv": without}


def test_of_two_files_of_one_content_each_loses_what_was_decided_on_it(live, children):
    before = f"naam;mail\nJan;{JAN}\nJ.P. de Vries;-\nPiet;piet@example.nl\n"
    for place in ("inbound/a.csv", "inbound/b.csv"):
        live.put(place, before)
    backup = backed_up(live)
    request = asked(live, f"email={JAN}", NAME)
    for item in live.desk.reviewer.matches(request):
        goes = item.step.path == (b"b.csv",)
        live.desk.reviewer.decide(request, [item.seq], remove=goes, by="Ina", reason="known")
    assert finish(live, request) is State.CLOSED
    left = {
        "a.csv": "naam;mail\nJ.P. de Vries;-\nPiet;piet@example.nl\n",
        "b.csv": "naam;mail\nPiet;piet@example.nl\n",
    }
    assert texts(live) == left
    with restored(live, backup, children) as again:
        require_done(replay(again))
        assert texts(again) == left


def test_what_was_excepted_under_an_older_version_is_listed_with_what_to_do(live, children, monkeypatch):
    live.put("inbound/a.csv", TABLE)
    live.put("inbound/books.csv", BOOKS)
    request = live.approved()
    backup = backed_up(live)
    except_from(live, request, b"books.csv")
    appended = Erasures.append

    def without_grounds(erasures, make):
        def old(epoch, at):
            entry = make(epoch, at)
            return structs.replace(entry, ground=msgspec.UNSET) if hasattr(entry, "ground") else entry

        appended(erasures, old)

    monkeypatch.setattr(Erasures, "append", without_grounds)
    assert finish(live, request) is State.PARTIAL
    assert b"ground" not in (live.root / "erasures/ledger.jsonl").read_bytes()
    with restored(live, backup, children) as again:
        (listed,) = [each for each in replay(again) if each.result is Result.OTHER]
        assert (listed.path, "except it again" in listed.reason) == ((b"books.csv",), True)
        with pytest.raises(RefusedError):
            again.desk.run(request)


def test_a_run_that_was_interrupted_when_the_backup_was_made_is_not_gone_on_with(live, children, monkeypatch):
    live.put("inbound/a.csv", TABLE)
    live.put("inbound/b.txt", "piet@example.nl")
    request = live.approved()

    def interrupted(*_):
        (item,) = live.desk.items(request)
        live.put(f"inbound/{draft_name(live.desk.show(request), item).decode()}", WITHOUT_JAN)
        raise InterruptedError

    monkeypatch.setattr(Executor, "_remove", interrupted)
    with pytest.raises(InterruptedError):
        live.desk.run(request)
    monkeypatch.undo()
    backup = backed_up(live)
    assert finish(live, asked(live, "email=piet@example.nl")) is not State.REVIEW
    with restored(live, backup, children) as again:
        require_done(replay(again))
        assert again.desk.interrupted() == []
        again.desk.find(request)
        assert texts(again) == {"a.csv": "naam;mail\nJan;jan@example.nl\n"}
        assert finish(again, request) is State.CLOSED
