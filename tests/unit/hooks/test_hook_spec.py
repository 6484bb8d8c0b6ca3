import re
from pathlib import Path

from sftpd.hooks.spec import EVENTS, KEYS
from sftpd.hooks.verdict import REASON_LIMIT

DOCS = (Path(__file__).parents[3] / "docs" / "hooks.md").read_text()


def rows(heading):
    section = DOCS.split(f"## {heading}\n", 1)[1].split("\n## ", 1)[0]
    return re.findall(r"^\| (`.*?`) \| (.*) \|$", section, re.MULTILINE)


def test_docs_list_the_events_of_the_table():
    documented = {name.strip("`"): tuple(rest.split(" | ")) for name, rest in rows("Events")}
    assert documented == {
        event.name: ("gate" if event.is_gate else "observer", event.moment) for event in EVENTS.values()
    }


def test_docs_list_the_keys_of_the_table():
    assert {key.strip("`"): meaning for key, meaning in rows("What a hook is given")} == dict(KEYS)


def test_docs_state_the_bound_of_a_reason():
    assert f"cut to {REASON_LIMIT} characters" in " ".join(DOCS.split())


def test_gates_are_the_events_before_and_alone_get_the_policy():
    for event in EVENTS.values():
        assert event.is_gate == event.name.startswith("pre-")
        assert event.is_gate == ("policy" in event.keys)
        assert event.keys <= KEYS.keys()
