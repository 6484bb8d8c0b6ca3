"""Possible matches: nothing of them goes unless somebody has looked and decided."""

import json

import erasure_scene
import msgspec
import person_corpus
import pytest
from erasure_scene import KEY, RECEIVED, receive

from sftpd.erasure import records
from sftpd.erasure.certificate import verify
from sftpd.erasure.erased import FileErased
from sftpd.erasure.finder import Why
from sftpd.erasure.grounds import Ground
from sftpd.erasure.layouts import Column, FixedWidth
from sftpd.erasure.plan import Action
from sftpd.erasure.request import State
from sftpd.errors import NotFoundError, RefusedError, UsageError
from sftpd.ledger import tables

CHILDREN = ["sftpd.erasure.reader"]

NAME = "name=Jan Pieter de Vries"
TABLE = "naam;stad\nJan Pieter de Vries;Delft\nJ.P. de Vries;Gouda\nJan de Vries;Leiden\nPiet de Vries;Ede\n"


@pytest.fixture
def scene(tmp_path, children):
    made = erasure_scene.Scene(tmp_path, children)
    yield made
    made.close()


def searched(scene, *identifiers):
    request = scene.desk.open("demo", identifiers or [NAME], RECEIVED, "opener")
    scene.desk.find(request)
    return request


def matches(scene, request):
    return {item.step.possible.place: item.seq for item in scene.desk.reviewer.matches(request)}


def decide(scene, request, seqs, *, remove):
    scene.desk.reviewer.decide(request, seqs, remove=remove, by="reviewer", reason="known")


def test_certain_records_go_and_possible_ones_as_decided(scene):
    table = scene.put("inbound/a.csv", TABLE)
    request = searched(scene)
    assert [(item.step.action, item.step.records) for item in scene.desk.items(request)] == [
        (Action.REDACT, 1),
        (Action.REVIEW, 1),
        (Action.REVIEW, 1),
    ]
    with pytest.raises(RefusedError, match="nobody has decided: 2") as refused:
        scene.desk.approve(request, "operator")
    assert refused.value.reason == "ERASURE_UNDECIDED"
    seqs = matches(scene, request)
    decide(scene, request, [seqs["record 3"]], remove=True)
    decide(scene, request, [seqs["record 4"]], remove=False)
    scene.desk.approve(request, "operator")
    assert scene.desk.run(request).state is State.CLOSED
    assert table.read_text() == "naam;stad\nJan de Vries;Leiden\nPiet de Vries;Ede\n"
    signed = verify(scene.desk.show(request).certificate.encode(), KEY.verifier)
    assert (sum(entry.records for entry in signed.removed), signed.possible_kept) == (2, 1)
    assert (signed.second_search.remaining, signed.held) == (0, ())
    assert b"Vries" not in scene.events()
    assert b"reviewer" not in scene.events()
    assert scene.rows(tables.erasure_match) == scene.rows(tables.erasure_decision) == []


def test_a_file_without_certain_matches_loses_what_was_decided(scene):
    table = scene.put("inbound/a.csv", "naam\nJ.P. de Vries\nPiet\n")
    letter = scene.put("inbound/b.txt", "Beste J.P. de Vries,\n")
    kept = scene.put("inbound/c.txt", "Beste Jan de Vries,\n")
    request = searched(scene)
    by_path = {item.step.path[-1]: item.seq for item in scene.desk.items(request)}
    decide(scene, request, [by_path[b"a.csv"], by_path[b"b.txt"]], remove=True)
    decide(scene, request, [by_path[b"c.txt"]], remove=False)
    scene.desk.approve(request, "operator")
    scene.desk.run(request)
    assert (table.read_text(), letter.exists(), kept.exists()) == ("naam\nPiet\n", False, True)


def test_the_name_of_a_file_may_be_the_person_s(scene):
    path = scene.put("inbound/J.P. de Vries.csv", "a;b\n1;2\n")
    request = searched(scene)
    (seq,) = matches(scene, request).values()
    assert scene.desk.reviewer.look(request, seq, "reviewer", "asked") == "J.P. de Vries.csv"
    decide(scene, request, [seq], remove=True)
    scene.desk.approve(request, "operator")
    scene.desk.run(request)
    assert not path.exists()


def test_a_look_shows_the_record_alone_and_is_on_record(scene):
    scene.put("inbound/a.csv", TABLE)
    request = searched(scene)
    seq = matches(scene, request)["record 3"]
    assert scene.desk.reviewer.look(request, seq, "reviewer", "asked by Legal") == (
        "naam: J.P. de Vries\nstad: Gouda"
    )
    looked = [json.loads(row["leaf"]) for row in scene.rows(erasure_scene.tables.outbox)][-1]
    assert "erasure.looked" in json.dumps(looked)
    assert b"Gouda" not in scene.events()
    assert b"Gouda" not in (scene.root / "ledger.db").read_bytes()
    with pytest.raises(NotFoundError):
        scene.desk.reviewer.look(request, 1, "reviewer", "a certain one")


def test_a_look_reads_a_file_as_its_link_says_that_it_is_written(scene):
    columns = (Column("naam", 1, 20), Column("stad", 21, 10))
    scene.links.known_layouts = (FixedWidth("loon-*", columns),)
    scene.put(
        "inbound/loon-01", "".join(f"{name:<20}{'Gouda':<10}\n" for name in ("J.P. de Vries", "Piet Bos"))
    )
    request = searched(scene)
    ((_, seq),) = matches(scene, request).items()
    assert scene.desk.reviewer.look(request, seq, "reviewer", "asked").split() == [
        "J.P.",
        "de",
        "Vries",
        "Gouda",
    ]


def test_a_file_that_changed_is_neither_shown_nor_touched(scene):
    table = scene.put("inbound/a.csv", TABLE)
    request = searched(scene)
    seqs = matches(scene, request)
    decide(scene, request, seqs.values(), remove=True)
    scene.desk.approve(request, "operator")
    changed = "naam;stad\nx;x\ny;y\nz;z\nPiet de Vries;Ede\nJ.P. de Vries;Gouda\n"
    table.write_text(changed)
    with pytest.raises(RefusedError, match="not what was searched"):
        scene.desk.reviewer.look(request, seqs["record 3"], "reviewer", "asked")
    with pytest.raises(RefusedError, match="second search"):
        scene.desk.run(request)
    assert table.read_text() == changed


class Crash(BaseException):
    pass


@pytest.mark.parametrize(("name", "content"), [("a.csv", TABLE), ("b.csv", "naam\nJ.P. de Vries\nPiet\n")])
def test_a_crash_after_a_file_was_replaced_takes_no_other_record(scene, monkeypatch, name, content):
    table = scene.put(f"inbound/{name}", content)
    request = searched(scene)
    decide(scene, request, matches(scene, request).values(), remove=True)
    scene.desk.approve(request, "operator")

    def crash(link, transfers):
        raise Crash

    with monkeypatch.context() as patch:
        patch.setattr(scene.links, "receiptless", crash)
        with pytest.raises(Crash):
            scene.desk.run(request)
    once = table.read_text()
    assert "J.P." not in once
    assert scene.desk.run(request).state is State.CLOSED
    assert table.read_text() == once
    assert {item.state for item in scene.desk.items(request)} == {"done"}


def test_decisions_stay_in_force_while_the_content_is_the_same(scene):
    scene.put("inbound/a.csv", TABLE)
    other = scene.put("inbound/b.csv", "naam\nJ. de Vries\n")
    request = searched(scene)
    decide(scene, request, [item.seq for item in scene.desk.reviewer.matches(request)], remove=False)
    other.write_text("naam\nJ. de Vries\nKees\n")
    scene.desk.find(request)
    undecided = [item.step.path for item in scene.desk.items(request) if item.is_undecided]
    assert undecided == [(b"b.csv",)]


def test_decisions_to_keep_stay_in_force_when_we_have_changed_the_file(scene):
    scene.put("inbound/a.csv", TABLE + "J.P. de Vries;Ede\nJan Pieter de Vries;Ede\n")
    scene.put("inbound/J.P. de Vries.csv", "naam\nJan Pieter de Vries\nPiet\n")
    scene.put("inbound/b.json", '[{"n": "Jan Pieter de Vries"}, {"n": "J. de Vries"}, {"n": "Piet"}]')
    scene.put("inbound/held.csv", "naam\nJan Pieter de Vries\n")
    scene.links.holds["inbound", b"held.csv"] = "case 7"
    request = searched(scene)
    decide(scene, request, [item.seq for item in scene.desk.reviewer.matches(request)], remove=False)
    scene.desk.approve(request, "operator")
    assert scene.desk.run(request).state is State.PARTIAL
    scene.desk.find(request)
    found = [(item.step.path[0], item.is_undecided) for item in scene.desk.reviewer.matches(request)]
    assert found == [(b"J.P. de Vries.csv", False), *[(b"a.csv", False)] * 3, (b"b.json", False)]


def test_a_possible_match_that_came_meanwhile_is_not_passed_over(scene):
    request = searched(scene)
    scene.desk.approve(request, "operator")
    scene.put("inbound/a.csv", "naam\nJ.P. de Vries\n")
    with pytest.raises(RefusedError) as refused:
        scene.desk.run(request)
    assert refused.value.reason == "ERASURE_REMAINS"


def test_a_held_file_needs_no_decision_until_it_is_released(scene):
    scene.put("inbound/a.csv", "naam\nJ.P. de Vries\n")
    scene.links.holds["inbound", b"a.csv"] = "court"
    request = searched(scene)
    assert [item.step.action for item in scene.desk.items(request)] == [Action.KEEP]
    scene.desk.approve(request, "operator")
    assert scene.desk.run(request).state is State.PARTIAL
    scene.links.holds.clear()
    scene.desk.find(request)
    assert [item.step.action for item in scene.desk.items(request)] == [Action.REVIEW]


def test_decisions_are_taken_in_review_alone(scene):
    scene.put("inbound/a.csv", TABLE)
    request = searched(scene)
    seqs = list(matches(scene, request).values())
    decide(scene, request, seqs, remove=True)
    decide(scene, request, seqs, remove=False)
    assert {item.step.action for item in scene.desk.reviewer.matches(request)} == {Action.REVIEW}
    scene.desk.approve(request, "operator")
    with pytest.raises(RefusedError, match="approved"):
        decide(scene, request, seqs, remove=True)


def test_each_format_cuts_and_shows_a_possible_record(scene):
    rows = [
        person_corpus.Row("1", "J.P. de Vries", "", "", "Gouda"),
        person_corpus.Row("2", "Kees", "", "", "Ede"),
    ]
    for form, (write, _) in person_corpus.LEAVES.items():
        member = (f"{form}.{person_corpus.SUFFIX.get(form, form)}", write(rows))
        scene.put(f"inbound/{member[0]}", member[1])
        scene.put(f"inbound/{form}.zip", person_corpus.BOXES["zip"][0]([member, ("x.txt", b"x")]))
    request = searched(scene)
    found = scene.desk.reviewer.matches(request)
    assert len(found) == 2 * len(person_corpus.LEAVES)
    for item in found:
        text = scene.desk.reviewer.look(request, item.seq, "reviewer", "test")
        assert "j.p. de vries" in text.lower(), item
        assert "kees" not in text.lower() or item.step.possible.whole or "letter" in str(item), item
    decide(scene, request, [item.seq for item in found], remove=True)
    scene.desk.approve(request, "operator")
    assert scene.desk.run(request).state is State.CLOSED
    for form, (_, read) in person_corpus.LEAVES.items():
        path = scene.root / "inbound" / f"{form}.{person_corpus.SUFFIX.get(form, form)}"
        assert path.exists() is (form != "letter")
        assert not path.exists() or read(path.read_bytes()) == [tuple(rows[1])], form


SEALED = b"\0\1\2 sealed"


def decide_sealed(scene, request, *, remove, reason="a look at its preview"):
    (seq,) = step_of(scene, request, b"sealed.bin")
    scene.desk.reviewer.decide(request, [seq], remove=remove, by="Ina", reason=reason)
    return next(item for item in scene.desk.items(request) if item.seq == seq)


def certified(scene, request):
    return verify(scene.desk.show(request).certificate.encode(), KEY.verifier)


def test_a_file_that_could_not_be_searched_goes_by_decision(scene):
    sealed = scene.put("inbound/sealed.bin", SEALED)
    twin = scene.put("inbound/twin.bin", SEALED)
    receive(scene, "r1", sealed)
    request = searched(scene)
    assert decide_sealed(scene, request, remove=True).step.action is Action.DELETE
    assert [item.step.path for item in scene.desk.reviewer.matches(request)] == [(b"sealed.bin",)]
    scene.desk.find(request)
    assert [item.step.action for item in scene.desk.items(request)] == [Action.DELETE, Action.UNSEARCHABLE]
    scene.desk.approve(request, "operator")
    assert scene.desk.run(request).state is State.CLOSED
    assert (sealed.exists(), twin.exists()) == (False, True)
    signed = certified(scene, request)
    ((action, records, reason),) = [(each.action, each.records, each.reason) for each in signed.removed]
    assert (action, records) == ("delete", 0)
    assert reason.startswith("removed by decision: it holds control characters")
    assert len(signed.unsearchable) == 1
    ((entry, _),) = [each for each in scene.erasures.pending(0) if isinstance(each[0], FileErased)]
    assert (entry.file, entry.format, entry.result, entry.only_here) == ("r1", "unsearchable", None, True)
    (row,) = scene.rows(tables.kept_file)
    assert (row["state"], row["path"], row["sha256"]) == ("erased", b"", "")
    assert b"a look at its preview" not in scene.events()


def test_a_removal_by_decision_that_was_cut_off_is_finished(scene):
    sealed = scene.put("inbound/sealed.bin", SEALED)
    receive(scene, "r1", sealed)
    request = searched(scene)
    seq = decide_sealed(scene, request, remove=True).seq
    scene.desk.approve(request, "operator")
    scene.ledger.write(lambda unit: records.intend(unit, request, seq))
    sealed.unlink()
    assert scene.desk.run(request).state is State.CLOSED
    (row,) = scene.rows(tables.kept_file)
    assert (row["state"], row["path"]) == ("erased", b"")


def test_a_file_that_could_not_be_searched_stays_by_decision_with_the_reason(scene):
    sealed = scene.put("inbound/sealed.bin", SEALED)
    request = searched(scene)
    for remove in (True, False):
        kept = decide_sealed(scene, request, remove=remove)
    assert (kept.step.action, kept.state) == (Action.UNSEARCHABLE, "kept")
    scene.desk.find(request)
    scene.desk.approve(request, "operator")
    assert scene.desk.run(request).state is State.CLOSED
    assert sealed.read_bytes() == SEALED
    signed = certified(scene, request)
    assert signed.possible_kept is msgspec.UNSET
    (entry,) = signed.unsearchable
    assert entry.reason.endswith("as binary files do; stays by decision: a look at its preview")


def test_a_decision_on_an_unsearchable_file_is_on_its_content(scene):
    sealed = scene.put("inbound/sealed.bin", SEALED)
    request = searched(scene)
    decide_sealed(scene, request, remove=True)
    scene.desk.approve(request, "operator")
    scene.put("inbound/sealed.bin", SEALED + b"another")
    with pytest.raises(RefusedError, match="second search still finds"):
        scene.desk.run(request)
    assert sealed.exists()
    scene.desk.find(request)
    (item,) = scene.desk.items(request)
    assert (item.step.action, item.is_unsearched) == (Action.UNSEARCHABLE, True)


def test_who_decides_on_an_unsearchable_file_says_why_and_breaks_no_hold(scene):
    sealed = scene.put("inbound/sealed.bin", SEALED)
    request = searched(scene)
    with pytest.raises(UsageError, match="needs a reason"):
        decide_sealed(scene, request, remove=True, reason=None)
    (item,) = scene.desk.items(request)
    assert item.is_unsearched
    decide_sealed(scene, request, remove=True)
    scene.links.holds["inbound", b"sealed.bin"] = "case 7"
    scene.desk.find(request)
    with pytest.raises(NotFoundError, match="nothing to decide on"):
        decide_sealed(scene, request, remove=True)
    scene.desk.approve(request, "operator")
    assert scene.desk.run(request).state is State.CLOSED
    assert sealed.exists()
    (entry,) = certified(scene, request).unsearchable
    assert entry.reason.endswith("; legal hold: case 7")


def step_of(scene, request, name):
    return [item.seq for item in scene.desk.items(request) if item.step.path == (name,)]


def test_an_excepted_file_stays_with_its_ground_and_reason(scene):
    books = scene.put("inbound/books.csv", TABLE)
    other = scene.put("inbound/other.csv", "naam\nJan Pieter de Vries\nPiet\n")
    request = searched(scene)
    (first, *_) = step_of(scene, request, b"books.csv")
    scene.desk.reviewer.except_files(request, [first], Ground.LEGAL_DUTY, "books of 2025", "Ina")
    scene.desk.approve(request, "operator")
    assert scene.desk.run(request).state is State.PARTIAL
    assert (books.read_text(), other.read_text()) == (TABLE, "naam\nPiet\n")
    signed = verify(scene.desk.show(request).certificate.encode(), KEY.verifier)
    assert [entry.reason for entry in signed.held] == ["exception, GDPR 17(3)(b): books of 2025"]
    assert signed.remains_until == "the ground of each exception has ended"
    assert (signed.second_search.remaining, signed.second_search.held) == (0, 1)
    (told,) = (leaf for leaf in scene.events().split(b"\n") if b"erasure.excepted" in leaf)
    assert json.loads(told)["data"]["ground"] == "17(3)(b)"
    assert b"books of 2025" not in told


def test_an_exception_holds_when_the_request_is_searched_again(scene):
    scene.put("inbound/books.csv", TABLE)
    scene.put("inbound/held.csv", TABLE)
    request = searched(scene)
    scene.links.holds["inbound", b"held.csv"] = "case 7"
    seqs = step_of(scene, request, b"books.csv")
    scene.desk.reviewer.except_files(request, seqs, Ground.LEGAL_CLAIMS, "a dispute", "Ina")
    scene.desk.find(request)
    assert [item.step.action for item in scene.desk.items(request)] == [Action.KEEP, Action.KEEP]
    scene.desk.approve(request, "operator")
    scene.desk.run(request)
    signed = verify(scene.desk.show(request).certificate.encode(), KEY.verifier)
    assert signed.remains_until == (
        "the legal hold on each file listed as held is released, and the ground of each exception has ended"
    )
    scene.desk.deny(searched(scene, "name=Kees Kok"), "operator", "test")
    assert len(scene.rows(tables.erasure_exception)) == 1


def test_only_what_would_go_is_excepted_and_only_before_approval(scene):
    scene.put("inbound/a.csv", "naam\nJan Pieter de Vries\nPiet\n")
    request = searched(scene)
    with pytest.raises(NotFoundError, match="removes nothing in step 9"):
        scene.desk.reviewer.except_files(request, [1, 9], Ground.ARCHIVING, "archive", "Ina")
    assert scene.rows(tables.erasure_exception) == []
    scene.desk.approve(request, "operator")
    with pytest.raises(RefusedError, match="no plan that can be changed"):
        scene.desk.reviewer.except_files(request, [1], Ground.ARCHIVING, "archive", "Ina")
    assert scene.desk.run(request).state is State.CLOSED


def test_matches_are_decided_on_by_their_form(scene):
    rows = "".join(f"J.P. de Vries;{n}\nJan de Vries;{n}\n" for n in range(700))
    table = scene.put("inbound/a.csv", f"naam;nr\n{rows}Jan Pieter Vries;x\n")
    scene.put("inbound/b.txt", "Beste J.P. de Vries,\n")
    request = searched(scene)
    first = matches(scene, request)["record 2"]
    decide(scene, request, [first], remove=False)
    by = {"by": "reviewer", "reason": "known"}
    scene.desk.reviewer.decide(request, [], [Why.INITIALS, Why.PREFIX], remove=True, **by)
    with pytest.raises(RefusedError, match="nobody has decided: 700"):
        scene.desk.approve(request, "operator")
    scene.desk.reviewer.decide(request, [], [Why.MIDDLE], remove=False, **by)
    decided = [json.loads(row["leaf"]) for row in scene.rows(tables.outbox)]
    assert sum("erasure.decided" in json.dumps(leaf) for leaf in decided) == 1 + 701 + 700
    scene.desk.find(request)
    scene.desk.approve(request, "operator")
    assert scene.desk.run(request).state is State.CLOSED
    kept = "".join(f"Jan de Vries;{n}\n" for n in range(700))
    assert table.read_text() == f"naam;nr\nJ.P. de Vries;0\n{kept}"
    assert [path.name for path in table.parent.iterdir()] == ["a.csv"]


def test_more_matches_than_fit_are_told_and_go_in_turns(scene):
    table = scene.put("inbound/a.csv", "naam\n" + "J.P. de Vries\n" * 2500 + "Piet\n")
    rounds = 0
    request = searched(scene)
    while scene.desk.reviewer.matches(request):
        told = [
            item.step.reason for item in scene.desk.items(request) if item.step.action is Action.UNSEARCHABLE
        ]
        left = len(table.read_text().splitlines()) - 2
        many = sum(item.is_undecided for item in scene.desk.reviewer.matches(request))
        assert bool(told) is (many < left)
        assert all(
            f"{left - many} more records may be the person's, too many to review" in each for each in told
        )
        scene.desk.reviewer.decide(request, [], [Why.INITIALS], remove=True, by="reviewer", reason="all hers")
        scene.desk.approve(request, "operator")
        rounds += 1
        if many == left:
            break
        with pytest.raises(RefusedError, match="second search"):
            scene.desk.run(request)
        scene.desk.find(request)
    assert scene.desk.run(request).state is State.CLOSED
    assert rounds == 2
    assert table.read_text() == "naam\nPiet\n"
