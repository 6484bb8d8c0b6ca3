"""What people are told who enter a request, or name what there is not."""

import contextlib
import re
import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from cli_scene import Scene, here, instance


@pytest.fixture(scope="module")
def scene() -> Iterator[Scene]:
    with instance() as made:
        yield made


def opened(scene: Scene, who: str, *options: str) -> str:
    person = f"email={who}@example.org"
    request: str = scene.json("erasure", "open", "--link", "demo", "--identifier", person, *options)["id"]
    return request


def test_a_request_is_received_on_a_day_of_the_links_zone(scene: Scene) -> None:
    request = opened(scene, "day", "--received", "2026-03-30")
    shown = scene.json("erasure", "show", request)
    assert shown["received"] == "2026-03-29T22:00:00+00:00"
    assert shown["due"].startswith("2026-04-30T")


@pytest.mark.parametrize(
    ("received", "told"),
    [
        (
            "2026-03-30T10:00:00",
            "received: '2026-03-30T10:00:00' has no time zone; expected an offset, as in ",
        ),
        ("last week", "received: 'last week' is no time; expected ISO 8601, such as "),
        (f"{datetime.now(UTC) + timedelta(days=2):%Y-%m-%d}", "is to come; expected a time that has passed"),
    ],
)
def test_a_time_that_is_none_is_named_with_its_option(scene: Scene, received: str, told: str) -> None:
    person = ("--identifier", "email=time@example.org", "--received", received)
    refused = scene.ask("erasure", "open", "--link", "demo", *person)
    assert (refused.code, told in refused.err) == (2, True), refused.err


def test_how_long_a_term_stood_still_is_told_in_days_and_hours(scene: Scene) -> None:
    request = opened(scene, "term")
    stood_still = timedelta(days=2, hours=3) // timedelta(microseconds=1)
    with contextlib.closing(sqlite3.connect(scene.root / "state/ledger.db")) as ledger, ledger:
        ledger.execute("UPDATE erasure_request SET paused = ? WHERE id = ?", (stood_still, request))
    assert scene.json("erasure", "show", request)["paused"] == 51 * 3600
    assert re.search(r"(?m)^paused +2 days, 3:00:00$", scene.ask("erasure", "show", request).out)


@pytest.mark.parametrize(
    ("command", "code", "told"),
    [
        ("erasure identity ID", 2, "nothing is said of the identity; expected either --ask or --confirm"),
        ("erasure identity ID --ask --confirm", 2, "two things are said of the identity; expected either"),
        ("erasure show ID", 1, "no deletion request ID; see sftpd erasure list"),
        (
            "retention explain ID --link demo",
            1,
            "no file is kept at ID; name it as sftpd retention plan does",
        ),
        (
            "retention review approve ID --reason gone",
            1,
            "no file ID is kept; see sftpd retention review list",
        ),
        ("audit prove 4000 --link demo", 1, "no leaf 4000; expected 0 to "),
    ],
)
def test_what_is_not_there_is_told_with_what_to_do(scene: Scene, command: str, code: int, told: str) -> None:
    refused = scene.ask(*command.split())
    assert (refused.code, told in refused.err) == (code, True), refused.err


def test_the_bound_of_what_can_be_proven_is_the_last_leaf(scene: Scene) -> None:
    opened(scene, "leaf")
    last = int(scene.ask("audit", "prove", "4000", "--link", "demo").err.rsplit(" ", 1)[1])
    assert scene.ask("audit", "prove", str(last), "--link", "demo").code == 0
    assert scene.ask("audit", "prove", str(last + 1), "--link", "demo").code == 1


@pytest.mark.parametrize(
    ("group", "course"),
    [
        ("erasure", ["open", "find", "approve", "run", "show", "certificate", "verify"]),
        ("retention", ["plan", "run", "report", "disposition"]),
    ],
)
def test_help_lists_commands_in_the_order_in_which_they_are_needed(group: str, course: list[str]) -> None:
    listed = re.findall(r"(?m)^  ([a-z-]+)  ", here(group, "--help").out.partition("Commands:")[2])
    assert listed[0] == course[0]
    assert [name for name in listed if name in course] == course
