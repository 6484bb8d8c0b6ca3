"""Files in our care are found by what tells few of them from very many."""

import ledgers
import pytest
import sqlalchemy as sa
from retention_scene import Scene

from sftpd.ledger import tables
from sftpd.retention import in_care, reviews

file = tables.kept_file.c


@pytest.fixture
def scene(tmp_path):
    scene = Scene(tmp_path)
    yield scene
    scene.ledger.close()


def explained(scene, ask):
    """How SQLite answers each query that is asked for in `ask`."""
    if not ledgers.is_sqlite():
        pytest.skip("PostgreSQL counts for itself what there is of each")
    asked = []

    def note(_conn, _cursor, statement, parameters, *_):
        asked.append((statement, parameters))

    with scene.ledger.read() as conn:
        sa.event.listen(conn, "before_cursor_execute", note)
        ask(conn)
        sa.event.remove(conn, "before_cursor_execute", note)
        assert asked
        return [
            [row[-1] for row in conn.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)]
            for statement, parameters in asked
        ]


@pytest.mark.parametrize("with_peers", [False, True])
@pytest.mark.parametrize(
    "condition",
    [
        file.id.in_([f"{number:026}" for number in range(500)]),
        file.id.in_(["a", "b"]) | ((file.folder == "staging") & file.path.in_([b"a", b"b"])),
        file.id.in_(sa.select(tables.returned.c.file)),
    ],
)
def test_a_few_are_not_looked_for_among_all_that_are_present(scene, condition, with_peers):
    (plan,) = explained(scene, lambda conn: in_care.kept_files(conn, condition, with_peers=with_peers))
    assert any("sqlite_autoindex_kept_file_1 (id=?)" in step for step in plan)
    assert not any("state=?)" in step and "(state" in step for step in plan), plan


def test_what_is_singled_out_is_not_looked_for_among_all_that_are_present(scene):
    scene.receive(b"a.csv")
    plans = explained(scene, lambda conn: in_care.singled_out(conn, None, with_peers=True))
    assert len(plans) == 2
    assert not any("(state=?)" in step for plan in plans for step in plan), plans


def test_decisions_are_not_looked_for_among_all_that_are_present(scene):
    for link in (None, "demo"):
        (plan,) = explained(scene, lambda conn, link=link: reviews.given(conn, link))
        assert not any("(state=?)" in step for step in plan), plan


@pytest.mark.parametrize("link", [None, "demo"])
def test_all_are_read_in_order_and_not_sorted(scene, link):
    if not ledgers.is_sqlite():
        pytest.skip("PostgreSQL counts for itself what there is of each")
    compiled = in_care._rows(of_link=link is not None, with_peers=True)
    with scene.ledger.read() as conn:
        one = compiled._compile(conn.dialect)
        parameters = one.parameters({"link": link})
        plan = [row[-1] for row in conn.exec_driver_sql(f"EXPLAIN QUERY PLAN {one.sql}", tuple(parameters))]
    assert "ix_kept_file_state_received_at_id (state=?)" in plan[0]
    assert not any("TEMP B-TREE" in step for step in plan)


def test_those_of_one_folder_are_not_looked_for_among_all_that_are_present(scene):
    page = (
        sa.select(file.id)
        .where(file.link == "demo", file.folder == "inbound", file.state == "present")
        .order_by(file.received_at, file.id)
        .limit(500)
    )
    (plan,) = explained(scene, lambda conn: conn.execute(page).all())
    assert "ix_kept_file_link_folder_received_at (link=? AND folder=?)" in plan[0]
