"""What a plan does with findings."""

from dataclasses import replace

from sftpd.erasure.plan import Action, Finding, Possible, Searched, Unsearched, plan

ROWS = Finding("inbound", (b"a.csv",), "csv", 3, whole=False, locators=("record 2",))
WHOLE = Finding("sent", (b"x", b"b.txt"), "text", 1, whole=True)
MOVING = Finding("screening", (b"c.csv",), "csv", 1, whole=False)


def test_each_finding_gets_the_smallest_removal() -> None:
    steps = plan(Searched((ROWS, WHOLE, MOVING), (Unsearched("inbound", (b"d.zip",), "binary"),), {}), {})
    assert [step.action for step in steps] == [
        Action.REDACT,
        Action.DELETE,
        Action.WAIT,
        Action.UNSEARCHABLE,
    ]
    assert (steps[0].records, steps[0].locators) == (3, ("record 2",))
    assert steps[3].reason == "binary"


def test_a_hold_keeps_its_file_and_no_other() -> None:
    steps = plan(Searched((ROWS, WHOLE), (), {}), {("sent", (b"x", b"b.txt")): "case 7"})
    assert [(step.action, step.reason) for step in steps] == [
        (Action.REDACT, None),
        (Action.KEEP, "case 7"),
    ]


def test_possible_matches_are_reviewed_but_in_files_that_are_not_touched_anyway() -> None:
    may_be = (Possible("record 4", "initials"), Possible("record 5", "spelling"))
    both = replace(ROWS, possible=may_be, mark="m")
    alone = replace(both, records=0, locators=())
    steps = plan(Searched((both, alone), (), {}), {})
    assert [(step.action, step.records, step.locators, step.mark) for step in steps] == [
        (Action.REDACT, 3, ("record 2",), ""),
        *[(Action.REVIEW, 1, (each.place,), "m") for each in may_be * 2],
    ]
    assert steps[1].reason == "possible match: initials"
    held = plan(Searched((both, alone), (), {}), {("inbound", (b"a.csv",)): "case 7"})
    assert [(step.action, step.records) for step in held] == [(Action.KEEP, 3), (Action.KEEP, 0)]
    moving = plan(Searched((replace(alone, folder="screening"),), (), {}), {})
    assert [step.action for step in moving] == [Action.WAIT]
