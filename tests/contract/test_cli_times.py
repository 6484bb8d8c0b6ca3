"""Times that commands take: an instant with an offset, or a day in the link's zone, for `--until` its end."""

import contextlib
import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from cli_scene import Scene, instance

BY_HAND = ("--reason", "test")
OTHER = """
[link]
name = "other"
counterparty = "Partner C.V."
time_zone = "America/New_York"
personal_data = false
"""
NIGHT = datetime(2026, 3, 29, 22, tzinfo=UTC)
"""When in Amsterdam the 30th of March begins; in New York that is four in the morning, in UTC."""


@pytest.fixture(scope="module")
def scene() -> Iterator[Scene]:
    with instance() as made:
        (made.root / "links.d/other.toml").write_text(OTHER)
        yield made


def begun(scene: Scene, at: datetime, link: str = "demo") -> str:
    """Enter a transfer that began then."""
    micros = (at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    columns = {
        "id": f"{link}-{at:%H%M%S}", "link": link, "direction": "inbound", "route": "upload", "peer": "demo",
        "path": b"x", "source": "1:2:3", "size": 1, "sha256": "00" * 32, "state": "done", "attempts": 0,
        "began_at": micros, "changed_at": micros,
    }  # fmt: skip
    with contextlib.closing(sqlite3.connect(scene.root / "state/ledger.db")) as ledger, ledger:
        holders = ", ".join("?" * len(columns))
        ledger.execute(
            f"INSERT INTO transfer ({', '.join(columns)}) VALUES ({holders})", list(columns.values())
        )
    return str(columns["id"])


def test_transfers_since_a_day_are_those_of_the_day_in_the_zone_of_each_link(scene: Scene) -> None:
    scene.json("transfer", "list")  # makes the ledger
    second = timedelta(seconds=1)
    begun(scene, NIGHT - second)
    first = begun(scene, NIGHT)
    begun(scene, NIGHT, "other")
    theirs = begun(scene, NIGHT + timedelta(hours=6), "other")
    begun(scene, NIGHT - second, "gone")
    gone = begun(scene, NIGHT, "gone")  # of a link that is configured no more: in the instance's zone

    def listed(*options: str) -> set[str]:
        return {row["id"] for row in scene.json("transfer", "list", *options)}

    assert listed("--since", "2026-03-30") == {first, theirs, gone}
    assert listed("--since", "2026-03-30", "--link", "demo") == {first}
    assert listed("--since", "2026-03-30T00:00:00+02:00", "--link", "other") == {theirs, "other-220000"}
    refused = scene.ask("transfer", "list", "--since", "2026-03-30T00:00:00")
    assert (refused.code, "since: '2026-03-30T00:00:00' has no time zone" in refused.err) == (2, True)


END = "2099-03-29T22:00:00+00:00"
"""The end of the day on which the clocks of the link's zone go forward."""


def test_a_hold_until_a_day_stands_for_the_whole_of_it(scene: Scene) -> None:
    placed = scene.json("hold", "add", "--link", "demo", *BY_HAND, "--until", "2099-03-29")
    assert placed["until"] == END
    over = f"{datetime.now(UTC) - timedelta(days=2):%Y-%m-%d}"
    refused = scene.ask("hold", "add", "--link", "demo", *BY_HAND, "--until", over)
    assert (refused.code, f"{over} has passed" in refused.err) == (2, True)


def test_an_approval_until_a_day_holds_for_the_whole_of_it(scene: Scene) -> None:
    given = scene.json("retention", "approval", "give", "--link", "demo", *BY_HAND, "--until", "2099-03-29")
    assert given["until"] == END


@pytest.mark.parametrize(
    ("words", "day"),
    [
        (("transfer", "list", "--since"), "0001-01-01"),
        (("hold", "add", "--link", "demo", *BY_HAND, "--until"), "9999-12-31"),
    ],
)
def test_a_day_that_begins_or_ends_beyond_all_times_is_refused(
    scene: Scene, words: tuple[str, ...], day: str
) -> None:
    refused = scene.ask(*words, day)
    assert (refused.code, refused.err.count("\n")) == (2, 1)
    assert f"{day} is out of range" in refused.err
