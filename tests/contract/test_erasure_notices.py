"""Who got files with the person is told, once and by a signed order, and the request waits until they are."""

import hashlib
import json
import shutil
from datetime import timedelta
from pathlib import Path

import erasure_scene
import ledgers
import msgspec
import pytest
from erasure_scene import JAN, KEPT, KEY, RECEIVED, Scene
from exchange_doubles import Crash, Fuse, LocalRemote
from receipt_scene import verifies

from sftpd.audit import sshsig
from sftpd.audit.checkpoint import SigningKey
from sftpd.erasure import notices, order
from sftpd.erasure.certificate import sign, verify
from sftpd.erasure.contents import Folder
from sftpd.erasure.identifiers import parse_identifier
from sftpd.erasure.notifier import Answer, Notifier, acknowledge
from sftpd.erasure.request import State
from sftpd.errors import NotFoundError, RefusedError, RemoteError
from sftpd.exchange import answers, orders
from sftpd.exchange.orders import Signed
from sftpd.files.beneath import Root
from sftpd.ledger import tables
from sftpd.link.model import Backoff, Remote
from sftpd.link.return_receipts import ReturnReceipts

TABLE = f"naam;mail\nJan;{JAN}\nPiet;x{JAN}\n"
LETTER = f"Beste {JAN},\n"
AFTER = timedelta(days=40)
SECOND = timedelta(seconds=1)
THEIRS = SigningKey.generate("far.example")
FAR = Remote(
    "far", "demo", "127.0.0.1", 22, "us", (), 1.0, Backoff(SECOND, SECOND), requests="/requests",
    receipts=ReturnReceipts("/receipts", (THEIRS.verifier,), SECOND, SECOND),
)  # fmt: skip


class Carrier:
    """Notices go to a remote that is a folder, and to the folder of receipts."""

    def __init__(self, root: Path) -> None:
        self.remote = LocalRemote(root / "far")
        self.receipts = root / "receipts"
        for folder in (self.remote.folder, self.receipts):
            folder.mkdir(exist_ok=True)

    def bring(self, notice, content, signature):
        if notice.remote:
            orders.push(
                self.remote, FAR, "/requests", Signed(notice.id.encode() + order.SUFFIX, content, signature)
            )
        else:
            with Root.at(self.receipts) as receipts:
                orders.lay_out(receipts, b"notices", Signed(self._name(notice), content, signature))

    def answer(self, notice):
        found = answers.fetch(self.remote, FAR, notice.id, notice.answer) if notice.remote else None
        return None if found is None else Answer(*found)

    def withdraw(self, notice):
        with Root.at(self.receipts) as receipts:
            orders.take_away(receipts, b"notices", self._name(notice))

    def _name(self, notice):
        return f"{notice.id}.notice.json".encode()

    def found(self) -> list[Path]:
        return sorted(path for top in (self.remote.folder, self.receipts) for path in top.rglob("*.json"))


@pytest.fixture
def scene(tmp_path):
    with erasure_scene.scene(tmp_path) as made:
        yield made


@pytest.fixture
def carrier(scene):
    return Carrier(scene.root)


def deliver(
    scene: Scene,
    name: str,
    path: str,
    content: str,
    *,
    remote: str = "far",
    link: str = "demo",
    kept: bool = True,
) -> None:
    """Enter a file as one that was delivered; it lies in `sent` if it is `kept`."""
    digest = hashlib.sha256(content.encode()).hexdigest()
    seen = scene.put(f"sent/{path}", content).stat() if kept else None
    source = "1:2:3" if seen is None else f"{seen.st_ino}:{seen.st_size}:{seen.st_mtime_ns}"
    common = {"id": name, "link": link, "path": path.encode(), "source": source, "size": len(content),
              "sha256": digest, "changed_at": RECEIVED}  # fmt: skip
    transfer = {
        "direction": "outbound",
        "route": "out",
        "peer": remote,
        "state": "done",
        "began_at": RECEIVED,
    }
    file = {"folder": "sent", "received_at": RECEIVED, "state": "present"}
    scene.ledger.write(lambda unit: unit.conn.execute(tables.transfer.insert(), [common | transfer]))
    if kept:
        scene.ledger.write(lambda unit: unit.conn.execute(tables.kept_file.insert(), [common | file]))


def go_on(scene: Scene, carrier: Carrier, after: timedelta = timedelta()) -> None:
    notifier = Notifier(scene.ledger, carrier)
    notifier.go_on(erasure_scene.SystemClock().now() + after)
    notifier.collect("demo", "far")


def made(scene: Scene, request: str):
    with scene.ledger.read() as conn:
        return notices.of(conn, request)


def told(path: Path) -> order.Order:
    """What a notice says, once its signature holds."""
    content = path.read_bytes()
    signature = path.with_name(path.name + sshsig.SUFFIX).read_bytes()
    assert order.verify(content, signature, [KEY.verifier]) == KEY.verifier
    return order.read(content)


def test_each_recipient_is_told_in_which_files_the_person_was_and_then_the_request_closes(scene, carrier):
    deliver(scene, "t1", "out/a.csv", TABLE)
    deliver(scene, "t2", "b.txt", LETTER)
    deliver(scene, "t3", "c.txt", f"Dag {JAN}", remote="")
    deliver(scene, "t4", "other.csv", "naam\nPiet\n")
    scene.put("inbound/in.csv", TABLE + "x;y\n")
    request = scene.approved()
    assert scene.desk.run(request).state is State.NOTIFYING
    signed = verify(scene.desk.show(request).certificate.encode(), KEY.verifier)
    assert [(one.recipient, one.files) for one in signed.recipients] == [
        ("Demo Partner", 1),
        ("Demo Partner/far", 2),
    ]
    go_on(scene, carrier)
    assert scene.desk.show(request).state is State.CLOSED
    far, partner = map(told, carrier.found())
    assert [(file.transfer, file.name) for file in far.files] == [("t1", "out/a.csv"), ("t2", "b.txt")]
    assert far.files[0].sha256 == hashlib.sha256(TABLE.encode()).hexdigest()
    assert [file.name for file in partner.files] == ["c.txt"]
    assert (far.kind, far.identifiers) == (order.Kind.NOTICE, (f"email={JAN}",))
    assert {far.order, partner.order} == {one.notice for one in signed.recipients}
    signers = scene.root / "allowed_signers"
    signers.write_text(sshsig.allowed_signer(KEY.verifier, order.NAMESPACE))
    assert all(verifies(path, signers, KEY.verifier.name, order.NAMESPACE) for path in carrier.found())
    for table in tables.metadata.sorted_tables:
        assert JAN not in repr(scene.rows(table)), table
    assert [row["name"] for row in scene.rows(tables.erasure_delivery)] == ["", "", ""]
    assert [file.name for file in scene.root.glob("ledger.db*") if JAN.encode() in file.read_bytes()] == []


def test_who_got_the_same_content_is_told_although_no_copy_is_left_and_over_another_link_too(scene, carrier):
    scene.put("inbound/a.csv", TABLE)
    deliver(scene, "t1", "gone.csv", TABLE, kept=False)
    deliver(scene, "t2", "elsewhere.csv", TABLE, link="other", kept=False)
    deliver(scene, "t3", "another.csv", f"{TABLE}x;y\n", kept=False)
    request = scene.approved()
    scene.desk.run(request)
    assert [(one.link, one.remote, one.files) for one in made(scene, request)] == [
        ("demo", "far", 1), ("other", "far", 1),
    ]  # fmt: skip
    go_on(scene, carrier)
    assert sorted(file.name for path in carrier.found() for file in told(path).files) == [
        "elsewhere.csv",
        "gone.csv",
    ]
    assert scene.rows(tables.erasure_content) == []


def test_a_recipient_learns_no_identifier_that_its_files_did_not_have(scene, carrier):
    deliver(scene, "t1", "a.csv", TABLE)
    deliver(scene, "t2", "b.txt", f"Beste {JAN}, 06 12345678\n", remote="")
    scene.put("inbound/c.txt", "klant K-77\n")
    request = scene.approved(f"email={JAN}", "phone=0612345678", "customer=K-77")
    scene.desk.run(request)
    go_on(scene, carrier)
    email, phone = f"email={JAN}", "phone=+31612345678"
    assert [told(path).identifiers for path in carrier.found()] == [(email,), (email, phone)]


def test_a_recipient_learns_what_the_name_on_which_was_decided_may_tell(scene, carrier):
    deliver(scene, "t1", f"march+{JAN}.csv", "tel\n06 12345678\n020 1234567\n")
    scene.put("inbound/c.txt", "klant K-77\n")
    identifiers = (f"email={JAN}", "phone=0612345678", "customer=K-77")
    request = scene.approved(*identifiers, possible=True)
    scene.desk.run(request)
    go_on(scene, carrier)
    assert [told(path).identifiers for path in carrier.found()] == [(f"email={JAN}", "phone=+31612345678")]


def test_what_nobody_got_closes_at_once(scene):
    scene.put("inbound/a.csv", TABLE)
    deliver(scene, "t1", "other.csv", "naam\nPiet\n")
    request = scene.approved()
    assert scene.desk.run(request).state is State.CLOSED
    assert verify(scene.desk.show(request).certificate.encode(), KEY.verifier).recipients == ()
    assert made(scene, request) == []


def test_a_notice_names_as_many_files_as_an_order_can_hold(scene, carrier):
    for number in range(6):
        deliver(scene, f"t{number}", f"{number}/{'n' * 250}\x01.txt", LETTER, kept=number == 0)
    with scene.ledger.read() as conn:
        named = [row.path for row in conn.execute(tables.transfer.select())]
    scene.ledger.write(
        lambda unit: unit.conn.execute(
            tables.transfer.update().where(tables.transfer.c.id != "t0").values(path=b"\x02" * 3000)
        )
    )
    assert len(named) == 6
    request = scene.approved()
    scene.desk.run(request)
    go_on(scene, carrier)
    (path,) = carrier.found()
    said = told(path)
    assert len(said.files) == 3
    assert "3 more files are not named here" in said.reason


def test_a_recipient_who_cannot_be_reached_keeps_the_request_open_and_no_other_waiting(scene, carrier):
    deliver(scene, "t1", "a.csv", TABLE)
    deliver(scene, "t2", "b.txt", LETTER, remote="")
    request = scene.approved()
    scene.desk.run(request)
    for fault in ("no route", "not tried now", "connection refused"):
        carrier.remote.down = RemoteError(fault)
        go_on(scene, carrier)
    assert scene.desk.show(request).state is State.NOTIFYING
    states = {one.remote: (one.state, one.fault) for one in made(scene, request)}
    assert states == {"": ("delivered", None), "far": ("made", "connection refused")}
    assert scene.events().count(b"erasure.notice_failed") == 1
    carrier.remote.down = None
    go_on(scene, carrier)
    assert scene.desk.show(request).state is State.CLOSED


def test_an_operator_may_stand_for_a_recipient_having_been_told(scene, carrier):
    deliver(scene, "t1", "a.csv", TABLE)
    request = scene.approved()
    scene.desk.run(request)
    (notice,) = made(scene, request)
    acknowledge(scene.ledger, notice.id, by="Ina", reason="by letter")
    assert scene.desk.show(request).state is State.CLOSED
    go_on(scene, carrier)
    assert carrier.found() == []
    with pytest.raises(RefusedError):
        acknowledge(scene.ledger, notice.id, by="Ina", reason="again")
    with pytest.raises(NotFoundError):
        acknowledge(scene.ledger, "none", by="Ina", reason="again")


def test_an_answer_that_does_not_come_is_told_of_once_and_the_notice_is_taken_away(scene, carrier):
    deliver(scene, "t1", "a.csv", TABLE, remote="")
    request = scene.approved()
    scene.desk.run(request)
    go_on(scene, carrier)
    assert len(carrier.found()) == 1
    for _ in range(2):
        go_on(scene, carrier, AFTER)
    assert scene.events().count(b"erasure.notice_overdue") == 1
    with scene.ledger.read() as conn:
        assert notices.overdue_by_link(conn) == notices.open_by_link(conn) == {"demo": 1}
    assert list((carrier.receipts / "notices").iterdir()) == []
    (notice,) = made(scene, request)
    acknowledge(scene.ledger, notice.id, by="Ina", reason="by telephone")
    with scene.ledger.read() as conn:
        assert notices.open_by_link(conn) == {}


def test_an_answer_takes_the_notice_away(scene, carrier):
    deliver(scene, "t1", "a.csv", TABLE, remote="")
    request = scene.approved()
    scene.desk.run(request)
    go_on(scene, carrier)
    acknowledge(scene.ledger, made(scene, request)[0].id, by="Ina", reason="by telephone")
    go_on(scene, carrier)
    assert carrier.found() == []


def delivered(scene: Scene, carrier: Carrier):
    """A notice that is with the remote."""
    deliver(scene, "t1", "a.csv", TABLE)
    request = scene.approved()
    scene.desk.run(request)
    go_on(scene, carrier)
    (notice,) = made(scene, request)
    assert notice.state == notices.DELIVERED
    return notice


def answer(carrier: Carrier, notice, status: str, document: bytes, *, by=THEIRS, namespace=answers.NAMESPACE):
    """Have the remote's owner answer."""
    folder = carrier.remote.folder / "receipts/orders"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{notice.id}.{status}.json"
    path.write_bytes(document)
    path.with_name(f"{path.name}.sig").write_bytes(sshsig.sign(document, by, namespace))


def certified(scene: Scene, *, issued: str = "2999-01-01T00:00:00Z", by=THEIRS) -> bytes:
    """Our certificate, as another would issue it."""
    (request,) = scene.desk.requests()
    ours = verify(request.certificate.encode(), KEY.verifier)
    return sign(msgspec.structs.replace(ours, issued=issued), by)


@pytest.mark.parametrize("status", ["certificate", "partial", "denied"])
def test_the_answer_of_a_recipient_acknowledges_the_notice_and_is_kept(scene, carrier, status):
    notice = delivered(scene, carrier)
    denial = json.dumps({"order": notice.id, "status": "denied"}).encode()
    document = denial if status == "denied" else certified(scene)
    answer(carrier, notice, status, document)
    go_on(scene, carrier)
    (found,) = made(scene, notice.request)
    assert (found.state, found.answer, found.document) == (notices.ACKNOWLEDGED, status, document)
    assert hashlib.sha256(document).hexdigest().encode() in scene.events()
    answer(carrier, notice, "certificate", done := certified(scene, issued="2999-01-02T00:00:00Z"))
    go_on(scene, carrier)
    (found,) = made(scene, notice.request)
    assert found.document == (document if status == "certificate" else done)


@pytest.mark.parametrize(
    ("made_so", "why"),
    [
        (lambda s, c, n: answer(c, n, "certificate", certified(s), by=KEY), "not known"),
        (lambda s, c, n: answer(c, n, "certificate", certified(s), namespace="receipt@sftpd"), "namespace"),
        (lambda s, c, n: answer(c, n, "certificate", certified(s, by=KEY)), "another key"),
        (lambda s, c, n: answer(c, n, "certificate", certified(s, issued="2026-01-01T00:00:00Z")), "older"),
        (lambda s, c, n: answer(c, n, "partial", b"{}"), "not a certificate"),
        (lambda s, c, n: answer(c, n, "denied", b'{"order": "another"}'), "another order"),
        (lambda s, c, n: answer(c, n, "denied", b"\xff"), "not an answer"),
        (lambda s, c, n: answer(c, n, "denied", b" " * (answers.LIMIT + 1)), "at most"),
    ],
)
def test_what_is_no_answer_is_told_of_once_and_acknowledges_nothing(scene, carrier, made_so, why):
    notice = delivered(scene, carrier)
    made_so(scene, carrier, notice)
    for _ in range(2):
        go_on(scene, carrier)
    (found,) = made(scene, notice.request)
    assert found.state == notices.DELIVERED
    assert why in found.fault
    assert scene.events().count(b"erasure.answer_refused") == 1


def test_an_answer_without_its_signature_waits_for_it(scene, carrier):
    notice = delivered(scene, carrier)
    answer(carrier, notice, "certificate", certified(scene))
    beside = carrier.remote.folder / f"receipts/orders/{notice.id}.certificate.json.sig"
    signature = beside.read_bytes()
    beside.unlink()
    go_on(scene, carrier)
    assert "no signature" in made(scene, notice.request)[0].fault
    beside.write_bytes(signature)
    go_on(scene, carrier)
    assert made(scene, notice.request)[0].state == notices.ACKNOWLEDGED


def test_what_is_held_is_told_of_when_it_goes_and_nothing_twice(scene, carrier):
    deliver(scene, "t1", "a.csv", TABLE)
    deliver(scene, "t2", "held.csv", f"{TABLE}x;y\n")
    scene.links.holds["sent", b"held.csv"] = "case 7"
    request = scene.approved()
    assert scene.desk.run(request).state is State.PARTIAL
    go_on(scene, carrier)
    assert [[file.name for file in told(path).files] for path in carrier.found()] == [["a.csv"]]
    assert scene.desk.show(request).state is State.PARTIAL
    scene.links.holds.clear()
    scene.desk.find(request)
    scene.desk.approve(request, "operator")
    assert scene.desk.run(request).state is State.NOTIFYING
    go_on(scene, carrier)
    named = sorted(file.name for path in carrier.found() for file in told(path).files)
    assert named == ["a.csv", "held.csv"]
    assert scene.desk.show(request).state is State.CLOSED


def test_a_crash_at_any_step_has_each_recipient_told_once(tmp_path):
    beginning = tmp_path / "beginning"
    beginning.mkdir()
    with erasure_scene.scene(beginning) as scene:
        deliver(scene, "t1", "a.csv", TABLE)
        deliver(scene, "t2", "b.txt", LETTER, remote="")
        request = scene.approved()
        scene.desk.run(request)
    at, steps = 0, 1
    while at < steps:
        place = tmp_path / str(at)
        shutil.copytree(beginning, place)
        with ledger_of(place) as ledger:
            fuse = Fuse(at)
            carrier = Carrier(place)
            carrier.remote.fuse, write = fuse, ledger.write
            ledger.write = fuse.around(write)
            try:
                Notifier(ledger, carrier).go_on(RECEIVED)
            except Crash:
                steps = at + 2
        with ledger_of(place) as ledger:
            carrier = Carrier(place)
            Notifier(ledger, carrier).go_on(RECEIVED)
            with ledger.read() as conn:
                assert notices.in_state(conn, notices.MADE) == []
                assert conn.execute(tables.erasure_request.select()).one().state == "closed"
        assert [len(told(path).files) for path in carrier.found()] == [1, 1]
        assert not list(place.rglob("*.part"))
        at += 1
    assert at > 8


def ledger_of(place: Path):
    from contextlib import closing

    ledger = erasure_scene.Ledger.open(
        ledgers.url(place / "ledger.db"),
        clock=erasure_scene.SystemClock(),
        seal=erasure_scene.partial(erasure_scene.seal, source="sftpd://test"),
    )
    return closing(ledger)


def test_the_directory_of_notices_is_not_searched(tmp_path):
    for folder in ("notices", "2026-01-01"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.json").write_text(JAN)
    with Folder("receipts", tmp_path, frozenset({(b"notices",)})).open() as files:
        assert list(files.paths([parse_identifier(f"email={JAN}")], [])) == [(b"2026-01-01", b"a.json")]


def test_the_certificate_goes_with_the_end_of_its_own_term(scene, carrier):
    deliver(scene, "t1", "a.csv", TABLE)
    request = scene.approved()
    scene.desk.run(request)
    go_on(scene, carrier)
    closed = scene.desk.show(request)
    signed = verify(closed.certificate.encode(), KEY.verifier)
    end = KEPT.due(closed.closed_at, scene.links.zone("demo"))
    assert abs(erasure_scene.datetime.fromisoformat(signed.kept_until) - end) < timedelta(days=1)
    assert scene.desk.forget_old(end - SECOND) == 0
    assert scene.desk.show(request).certificate == closed.certificate
    assert scene.desk.forget_old(end) == 1
    assert scene.desk.forget_old(end) == 0
    left = scene.desk.show(request)
    assert (left.state, left.certificate, left.opened_by, left.approved_by) == (State.CLOSED, None, "", None)
    assert scene.desk.items(request) == made(scene, request) == scene.rows(tables.erasure_delivery) == []
    digest = hashlib.sha256(closed.certificate.encode()).hexdigest().encode()
    assert b"erasure.forgotten" in scene.events()
    assert scene.events().count(digest) == 2


def test_a_certificate_and_its_events_name_nothing_that_was_in_the_files(scene, carrier):
    deliver(scene, "t1", f"{JAN}.csv", TABLE)
    scene.put("inbound/scan.pdf", b"%PDF-1.4 broken")
    request = scene.approved()
    scene.desk.run(request)
    go_on(scene, carrier)
    signed = scene.desk.show(request).certificate
    assert "completion" in signed
    for secret in (JAN, f"{JAN}.csv", "scan.pdf", hashlib.sha256(TABLE.encode()).hexdigest()):
        assert secret not in signed
        assert secret.encode() not in scene.events()
