"""`sftpd hold add`: each option is a scope of its own kind, and what does not go together places no hold."""

from collections.abc import Iterator

import pytest
from cli_scene import Scene, instance


@pytest.fixture(scope="module")
def scene() -> Iterator[Scene]:
    with instance() as made:
        yield made


BASE = ("hold", "add", "--link", "demo", "--reason", "court")
ACCOUNT = "demo"
SHORT_DAY = "received from 2026-03-28T23:00:00+00:00 received before 2026-03-29T22:00:00+00:00"
"""The day on which the clocks of the link's zone go forward."""


@pytest.mark.parametrize(
    ("options", "kind", "covers"),
    [
        ((), "link", "every file of the link"),
        (("--folder", "sent"), "folder", "every file in sent/"),
        (("--account", ACCOUNT), "account", f"every file that came from or went to {ACCOUNT}"),
        (("--glob", "*.csv"), "query", "files named *.csv"),
        (("--folder", "inbound", "--glob", "a/*"), "query", "files in inbound/ named a/*"),
        (
            ("--account", ACCOUNT, "--since", "2026-03-29", "--before", "2026-03-30"),
            "query",
            f"files from or to {ACCOUNT} {SHORT_DAY}",
        ),
        (("--since", "2026-01-01T00:00:00+01:00"), "query", "files received from 2025-12-31T23:00:00+00:00"),
        (("--identifier", "email=jan@example.org"), "subject", "files of one person (email) as of "),
    ],
)
def test_a_scope_is_said_in_words(scene: Scene, options: tuple[str, ...], kind: str, covers: str) -> None:
    placed = scene.ask(*BASE, *options, "--json").json
    assert (placed["kind"], placed["files"], placed["stands"]) == (kind, 0, True)
    assert placed["covers"].startswith(covers)
    assert scene.ask("hold", "show", placed["id"], "--json").json == placed


@pytest.mark.parametrize(
    ("options", "code", "told"),
    [
        (("--file", "inbound/a", "--folder", "inbound"), 2, "--file and --folder do not go together"),
        (("--file", "inbound/a", "--transfer", "x"), 2, "--file and --transfer do not go together"),
        (("--transfer", "x", "--glob", "*"), 2, "--glob and --transfer do not go together"),
        (
            ("--identifier", "name=Jan Jansen", "--account", ACCOUNT),
            2,
            "--account and --identifier do not go",
        ),
        (("--file", "inbound/none.csv"), 1, "no file 'inbound/none.csv' is in our care"),
        (("--file", ""), 1, "no file '' is in our care"),
        (("--transfer", "none"), 1, "no transfer 'none'"),
        (("--folder", "inbond"), 2, "no folder 'inbond'"),
        (("--folder", ""), 2, "no folder ''"),
        (("--glob", ""), 2, "an empty pattern matches no file"),
        (("--account", "nobody"), 2, f"no account 'nobody'; expected {ACCOUNT}"),
        (("--since", "yesterday"), 2, "since: 'yesterday' is no time"),
        (("--before", "2026-01-01T00:00:00"), 2, "before: '2026-01-01T00:00:00' has no time zone"),
        (("--until", "2099-01-01T00:00"), 2, "an offset, as in 2027-01-31T00:00:00+01:00, or a day alone"),
        (("--since", "2026-01-02", "--before", "2026-01-02"), 2, "no file is received in no time"),
        (("--until", "2026-01-02T00:00:00Z"), 2, "2026-01-02T00:00:00Z has passed"),
        (("--identifier", "mail=jan@example.org"), 2, "TYPE=VALUE"),
        (("--identifier", "bsn=123"), 1, "not a valid bsn"),
    ],
)
def test_what_is_no_scope_places_no_hold(
    scene: Scene, options: tuple[str, ...], code: int, told: str
) -> None:
    before = scene.ask("hold", "list", "--json").json
    asked = scene.ask(*BASE, *options)
    assert (asked.code, asked.out, asked.err.count("\n")) == (code, "", 1), asked
    assert told in asked.err.replace("link demo: ", "")
    assert scene.ask("hold", "list", "--json").json == before


def test_only_a_hold_on_a_person_can_be_searched_for_again(scene: Scene) -> None:
    placed = scene.ask(*BASE, "--json").json
    asked = scene.ask("hold", "search", placed["id"], "--identifier", "name=Jan Jansen")
    assert (asked.code, "not on a person" in asked.err) == (1, True)
    asked = scene.ask("hold", "show", "none")
    assert (asked.code, "no hold none" in asked.err) == (1, True)
