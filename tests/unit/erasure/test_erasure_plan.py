"""What a plan does with findings."""

from sftpd.erasure.plan import Action, Finding, Searched, Unsearched, plan

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
        (Action.KEEP, "legal hold: case 7"),
    ]
