"""The index over real files, a real ledger and real readers: what it saves, and what never rests on it."""

import hashlib
import sqlite3
import threading
import time
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import person_corpus
import person_parts
import pytest
from cli_scene import instance
from erasure_scene import JAN, RECEIVED, Scene
from waiting import until

from sftpd.app.instance import Instance
from sftpd.app.operations import operations
from sftpd.clock import SystemClock
from sftpd.config.load import load
from sftpd.erasure.contents import Folder
from sftpd.erasure.identifiers import parse_identifier
from sftpd.erasure.index import Entry, Index
from sftpd.erasure.indexing import Indexer, standing
from sftpd.erasure.layouts import Column, FixedWidth, Numbers
from sftpd.erasure.readers import READER, Readers
from sftpd.erasure.request import State
from sftpd.erasure.tokens import token
from sftpd.errors import RefusedError
from sftpd.ledger import tables
from sftpd.ledger.outbox import Event

CHILDREN = [READER]

KEY = b"k" * 32
HERS = parse_identifier(f"email={JAN}")
TABLE = f"naam;mail\nJan;{JAN}\n"
OTHERS = "naam;mail\nPiet;piet@example.nl\n"


class Later(SystemClock):
    """So much later that every file has settled."""

    def now(self):
        return super().now() + timedelta(minutes=1)


class Demo:
    """The index of the link `demo`."""

    def __init__(self, scene: Scene):
        self.scene = scene
        self.path = scene.root / "index" / "demo.db"

    def names(self):
        return ["demo"]

    def received(self, link):
        return Folder("inbound", self.scene.root / "inbound")

    def layouts(self, link):
        return self.scene.links.layouts(link)

    def index(self, link):
        if self.scene.links.indexed is None:
            self.scene.links.indexed = Index(self.path, KEY)
        return self.scene.links.indexed

    def discard(self, link):
        self.scene.links.indexed.close()
        self.scene.links.indexed = None
        self.path.write_bytes(b"")


@pytest.fixture
def scene(tmp_path, children):
    made = Scene(tmp_path, children)
    yield made
    if made.links.indexed is not None:
        made.links.indexed.close()
    made.close()


@contextmanager
def indexing(scene: Scene, clock=None, **arguments):
    indexer = Indexer(
        scene.ledger, Demo(scene), Readers(scene.readers._children), clock or Later(), **arguments
    )
    indexer.start()
    try:
        yield indexer
    finally:
        indexer.stop()


def caught_up(scene: Scene, clock=None) -> Index:
    """The index once all that is received is in it."""
    with indexing(scene, clock, every=3600) as indexer:
        indexer.look()
    return scene.links.indexed


def receive(scene: Scene, name: str, content: str | bytes, link: str = "demo") -> None:
    """Put a file that the ledger knows as received."""
    path = scene.put(f"inbound/{name}", content)
    seen = path.stat()
    row = {
        "id": f"t-{name}",
        "link": link,
        "folder": "inbound",
        "path": name.encode(),
        "source": f"{seen.st_ino}:{seen.st_size}:{seen.st_mtime_ns}",
        "size": seen.st_size,
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "received_at": SystemClock().now(),
        "state": "present",
        "changed_at": SystemClock().now(),
    }
    scene.ledger.write(lambda unit: unit.conn.execute(tables.kept_file.insert(), [row]))


def found(scene: Scene, *identifiers: str) -> tuple[list[str], tuple[int, int]]:
    """The files in a plan, and how many the search saw and looked up."""
    request = scene.desk.open("demo", identifiers or [f"email={JAN}"], RECEIVED, "opener")
    items, seen = scene.desk.find(request), scene.desk.searched(request)
    scene.desk.deny(request, "operator", "only asked")
    return [b"/".join(item.step.path).decode() for item in items], seen


def postings(scene: Scene) -> set[tuple[bytes, int]]:
    with sqlite3.connect(Demo(scene).path) as conn:
        return set(conn.execute("SELECT token, number FROM posting"))


def test_of_indexed_files_only_those_are_read_that_may_carry_the_person(scene):
    receive(scene, "hers.csv", TABLE)
    for number in range(3):
        receive(scene, f"other-{number}.csv", OTHERS)
    receive(scene, f"{JAN}.txt", "niets")
    scene.put("inbound/unknown.csv", TABLE)
    scene.put("sent/copy.csv", TABLE)
    assert found(scene)[1] == (7, 0)
    caught_up(scene)
    everything = ["hers.csv", f"{JAN}.txt", "unknown.csv", "copy.csv"]
    assert (sorted(found(scene)[0]), found(scene)[1]) == (sorted(everything), (7, 3))
    assert found(scene, f"email={JAN}", "name=Jan de Vries")[1] == (7, 0)
    assert found(scene, "email=nobody@example.nl")[1] == (7, 5)


def test_a_file_is_in_the_plan_for_its_name_whatever_the_index_says(scene):
    names = (f"{JAN}.1.csv", f"march+{JAN}.csv", "jan+news@example.nl.csv", "piet@example.nl.csv")
    for name in names:
        receive(scene, name, OTHERS)
    caught_up(scene)
    request = scene.desk.open("demo", [f"email={JAN}"], RECEIVED, "opener")
    found = {item.step.path[-1].decode(): item.is_undecided for item in scene.desk.find(request)}
    assert found == dict(zip(names[:3], (False, True, True), strict=True))


def test_a_file_that_changed_is_read_until_it_is_indexed_anew(scene):
    receive(scene, "a.csv", OTHERS)
    caught_up(scene)
    assert found(scene) == ([], (1, 1))
    scene.put("inbound/a.csv", TABLE)
    assert found(scene) == (["a.csv"], (1, 0))
    scene.put("inbound/deep/a.csv", TABLE)
    assert found(scene)[0] == ["a.csv", "deep/a.csv"]


def test_what_is_indexed_after_a_question_is_not_known_to_it(scene):
    receive(scene, "a.csv", TABLE)
    index = caught_up(scene)
    known = index.lookup([parse_identifier("email=nobody@example.nl")])
    mark = scene.rows(tables.kept_file)[0]["source"]
    assert known.clears("inbound", (b"a.csv",), mark)
    place = index.place("inbound", (b"b.csv",), mark)
    index.put([Entry(place, token(HERS, KEY))])
    assert not known.clears("inbound", (b"b.csv",), mark)
    assert not index.lookup([HERS]).clears("inbound", (b"b.csv",), mark)


def test_the_certificate_does_not_rest_on_the_index(scene):
    receive(scene, "a.csv", TABLE)
    scene.put("sent/b.csv", TABLE)
    caught_up(scene).forget([HERS], 1)
    request = scene.approved()
    with pytest.raises(RefusedError, match="second search still finds the person in 1 files"):
        scene.desk.run(request)


def test_nothing_of_an_erased_person_is_left_in_the_index(scene):
    receive(scene, "a.csv", f"naam;mail;bsn\nJan;{JAN};123456782\nPiet;piet@example.nl;\n")
    receive(scene, "b.txt", JAN)
    index = caught_up(scene)
    hers = [token(parse_identifier(each), KEY) for each in (f"email={JAN}", "bsn=123456782")]
    piet = token(parse_identifier("email=piet@example.nl"), KEY)
    assert {each for each, _ in postings(scene)} >= {*hers, piet}
    request = scene.approved()
    scene.desk.run(request)
    assert scene.desk.show(request).state is State.CLOSED
    assert hers[0] not in {each for each, _ in postings(scene)}
    assert hers[0] not in Demo(scene).path.read_bytes()
    caught_up(scene)
    assert {each for each, _ in postings(scene)} == {piet}
    assert hers[1] not in Demo(scene).path.read_bytes()
    assert standing(scene.ledger, "demo", index).counts.indexed == 1
    assert found(scene) == ([], (1, 1))


def test_a_held_person_stays_in_the_index(scene):
    receive(scene, "a.csv", TABLE)
    caught_up(scene)
    scene.links.holds["inbound", b"a.csv"] = "a case"
    request = scene.approved()
    scene.desk.run(request)
    assert scene.desk.show(request).state is State.PARTIAL
    assert found(scene) == (["a.csv"], (1, 0))


def test_postings_go_with_their_file(scene):
    receive(scene, "a.csv", TABLE)
    receive(scene, "b.csv", OTHERS)
    caught_up(scene)
    gone = tables.kept_file.update().where(tables.kept_file.c.id == "t-a.csv").values(state="disposed")
    scene.ledger.write(lambda unit: unit.conn.execute(gone))
    index = caught_up(scene)
    assert token(HERS, KEY) not in {each for each, _ in postings(scene)}
    now = standing(scene.ledger, "demo", index)
    assert (now.files, now.counts.indexed, now.pending) == (1, 1, 0)


def test_a_file_that_cannot_be_read_in_full_is_noted_and_read_at_each_search(scene):
    receive(scene, "a.bin", b"\0\1\2")
    receive(scene, "b.ndjson", '{"klant": "7"}\n{"klant"\n')
    receive(scene, "c.csv", 'klant;nr\n7;"1"2\n')
    counts = standing(scene.ledger, "demo", caught_up(scene)).counts
    assert (counts.indexed, counts.unsearchable) == (0, 3)
    assert "it holds control characters, as binary files do" in counts.reasons
    assert found(scene, "customer=7") == (["a.bin", "b.ndjson", "c.csv"], (3, 0))


def test_nothing_can_be_read_in_an_index_nor_under_another_key(scene):
    receive(scene, "salaris-jan.csv", TABLE)
    index = caught_up(scene)
    index.close()
    scene.links.indexed = None
    raw = b"".join(path.read_bytes() for path in Demo(scene).path.parent.iterdir())
    assert not any(plain in raw for plain in (b"salaris", JAN.encode(), b"email"))
    assert Demo(scene).path.stat().st_mode & 0o777 == 0o600
    with Index(Demo(scene).path, KEY) as again:
        assert again.counts().indexed == 1
    with Index(Demo(scene).path, b"another key of ours") as other:
        assert (other.counts().indexed, other.newest()) == (0, 0)


@pytest.mark.parametrize("damage", [b"no database", b""])
def test_a_damaged_index_is_begun_anew(scene, damage):
    receive(scene, "a.csv", OTHERS)
    caught_up(scene).close()
    scene.links.indexed = None
    Demo(scene).path.write_bytes(damage)
    assert caught_up(scene).counts().indexed == 1


def test_an_index_that_cannot_be_read_costs_time_alone(scene):
    receive(scene, "a.csv", TABLE)
    index = caught_up(scene)
    index.close()
    assert found(scene) == (["a.csv"], (1, 0))


def test_files_are_indexed_as_they_come_and_the_rest_after_a_start(scene):
    receive(scene, "before.csv", OTHERS)
    done = threading.Event()
    index = Demo(scene).index("demo")
    put = index.put
    index.put = lambda entries: (put(entries), done.set())
    with indexing(scene, every=0.01) as indexer:
        assert done.wait(20)
        assert index.counts().indexed == 1
        done.clear()
        receive(scene, "after.csv", TABLE)
        indexer.see(Event("transfer.received", "demo", {}))
        assert done.wait(20)
        until(lambda: indexer.pending() == {"demo": 0})
    assert found(scene) == (["after.csv"], (2, 1))


def test_a_file_that_may_still_change_unseen_is_left_for_the_next_look(scene):
    receive(scene, "a.csv", OTHERS)
    assert caught_up(scene, SystemClock()).counts().indexed == 0
    assert caught_up(scene).counts().indexed == 1


def test_a_stop_does_not_wait_for_a_file(scene):
    receive(scene, "a.txt", b"jan@example.nl klant 1234, " * 1_000_000)
    with indexing(scene, every=0.01) as indexer:
        while not indexer._readers._at_work:
            time.sleep(0.01)
    assert scene.links.indexed.counts().indexed == 0


def test_a_link_has_an_index_unless_it_says_no():
    with instance() as made:
        config, link = Path(made.made["config"]), made.root / "links.d/demo.toml"
        path = made.root / "state/index/demo.db"
        with Instance(load(config), SystemClock()) as opened:
            assert operations(opened)["erasure.index"]({"link": "demo"}) == [
                {"link": "demo", "files": 0, "indexed": 0, "pending": 0, "unsearchable": 0, "reasons": {}}
            ]
            opened.indexes.discard_others()
        assert path.exists()
        link.write_text(f"{link.read_text()}\n[erasure]\nindex = false\n")
        with Instance(load(config), SystemClock()) as opened:
            opened.indexes.discard_others()
            assert (opened.indexes.index("demo"), operations(opened)["erasure.index"]({})) == (None, [])
        assert list(path.parent.iterdir()) == []


def test_with_the_index_a_search_over_every_format_finds_what_one_without_it_does(scene):
    given = person_corpus.generate(60, seed=5, persons=40)
    for name, node in given.files.items():
        receive(scene, name, person_corpus.pack(node))
    hers = [each for each in given.identifiers if not each.startswith("name=")]
    asked = [hers, *([f"email=klant{number}@example.nl"] for number in (1, 2))]
    without = [found(scene, *each) for each in asked]
    caught_up(scene)
    within = [found(scene, *each) for each in asked]
    assert [items for items, _ in within] == [items for items, _ in without]
    assert without[0][0]
    assert all(looked_up > 0 for _, (_, looked_up) in within)


def test_the_index_knows_of_parts_in_every_format_too(scene):
    given = person_parts.generate(60, seed=5, persons=40)
    for name, node in given.files.items():
        receive(scene, name, person_corpus.pack(node))
    asked = [given.identifiers, *([each] for each in given.identifiers), ["address=1000 ZZ 1"]]
    asked.append(["born=Jan de Vries 2099-01-01"])
    without = [found(scene, *each) for each in asked]
    caught_up(scene)
    within = [found(scene, *each) for each in asked]
    assert [items for items, _ in within] == [items for items, _ in without]
    assert all(items for items, _ in within[:3])
    assert all(looked_up > 0 for _, (_, looked_up) in within)


def test_a_neighbour_is_in_the_index_still_when_the_person_is_gone(scene):
    receive(scene, "a.csv", "naam;huisnummer;postcode\nJan;12;3581CD\n")
    receive(scene, "b.csv", "naam;huisnummer;postcode\nPiet;14;3581CD\n")
    receive(scene, "c.csv", "naam;huisnummer;postcode\nPiet;14;3581CE\n")
    caught_up(scene)
    request = scene.desk.open("demo", ["address=3581 CD 12"], RECEIVED, "opener")
    scene.desk.find(request)
    scene.desk.approve(request, "operator")
    assert scene.desk.run(request).state is State.CLOSED
    assert found(scene, "address=3581 CD 14") == (["b.csv"], (3, 1))


COLUMNS = (Column("naam", 1, 10), Column("klantnummer", 11, 10))
LAYOUTS = (FixedWidth("*.fix", COLUMNS), Numbers("Relatie", "customer"))


def test_what_is_told_of_files_by_hand_is_in_the_index(scene):
    scene.links.known_layouts = LAYOUTS
    receive(scene, "a.fix", "Jan       K-77      \nPiet      K-78      \n")
    receive(scene, "b.csv", "nr; relatie \n1;K-77\n")
    receive(scene, "c.json", '[{"klant": {"RELATIE": "K-77"}}, {"relatie": "K-99"}]')
    receive(scene, "d.csv", "nr;relaties\n1;K-77\n")
    receive(scene, "e.csv", "nr;relatie\n1;K-79\n")
    hers = (["a.fix", "b.csv", "c.json"], (5, 0))
    assert found(scene, "customer=K-77") == hers
    caught_up(scene)
    assert found(scene, "customer=K-77") == (hers[0], (5, 2))
    assert found(scene, "employee=K-77") == ([], (5, 5))


def test_files_are_read_again_once_something_else_is_told_of_them(scene):
    receive(scene, "b.csv", "nr;relatie\n1;K-77\n")
    caught_up(scene)
    assert found(scene, "customer=K-77") == ([], (1, 1))
    scene.links.known_layouts = LAYOUTS
    assert found(scene, "customer=K-77") == (["b.csv"], (1, 0))
    caught_up(scene)
    assert found(scene, "customer=K-78") == ([], (1, 1))


def test_a_search_for_a_hold_reads_only_files_that_may_carry_the_person(scene):
    receive(scene, "hers.csv", TABLE)
    receive(scene, "other.csv", OTHERS)
    caught_up(scene)
    searched = scene.desk.look_for("demo", [HERS])
    assert ([file.path for file in searched.findings], searched.looked_up) == ([(b"hers.csv",)], 1)


class Two(Demo):
    """Two links of the same files, the first of which fills its index in many steps."""

    def __init__(self, scene):
        super().__init__(scene)
        self.entered = []

    def names(self):
        return ["demo", "other"]

    def index(self, link):
        return Noting(super().index(link), link, self.entered)


class Noting:
    """An index that notes for which link something is entered."""

    def __init__(self, index, link, entered):
        self._index, self._link, self._entered = index, link, entered

    def put(self, entries):
        self._index.put(entries)
        self._entered.append(self._link)

    def __getattr__(self, name):
        return getattr(self._index, name)


def test_links_take_turns(scene, monkeypatch):
    monkeypatch.setattr("sftpd.erasure.indexing._ENTRIES", 1)
    for number in range(3):
        receive(scene, f"{number}.csv", OTHERS)
    receive(scene, "o.csv", OTHERS, link="other")
    links = Two(scene)
    indexer = Indexer(scene.ledger, links, Readers(scene.readers._children), Later(), every=3600)
    indexer.start()
    indexer.look()
    indexer.stop()
    assert links.entered == ["demo", "other", "demo", "demo"]


def test_entries_are_made_all_or_not_at_all(scene):
    index = Demo(scene).index("demo")

    def entries():
        yield Entry(b"a" * 16, token(HERS, KEY))
        raise InterruptedError

    with pytest.raises(InterruptedError):
        index.put(entries())
    assert (index.newest(), index.knows(b"a" * 16), postings(scene)) == (0, False, set())
