"""Retention."""

from collections.abc import Iterator, Mapping
from typing import Any

from sftpd.app.instance import Instance
from sftpd.app.verbs.verb import Arguments, Verb, day_end_or_instant
from sftpd.errors import UsageError
from sftpd.periods import Period, PeriodError
from sftpd.retention import left
from sftpd.retention.desk import Moment
from sftpd.retention.guard import Confirmation
from sftpd.retention.rule import Answer


def _retention_plan(instance: Instance, arguments: Arguments) -> dict[str, Any]:
    link = arguments.get("link")
    plan = instance.retention.plan(link)
    items = instance.retention.items(link, plan.schedule, arguments.get("most"))
    with instance.ledger.read() as conn:
        stayed = left.counted(conn, link)
    return {
        "plan": plan.hash,
        "counts": plan.by_action(),
        "left": stayed,
        "items": (item.as_json() for item in items),
        "frozen": [freeze.as_json() for freeze in instance.retention.against(plan)],
    }


def _retention_run(instance: Instance, arguments: Arguments) -> dict[str, Any]:
    confirmation = None
    if "confirm_volume" in arguments:
        confirmation = Confirmation(arguments["confirm_volume"], arguments["by"])
    results = instance.retention.run(arguments["plan"], confirmation)
    rows = instance.retention.report(plan_hash=arguments["plan"], newest=arguments.get("newest"))
    return {
        "plan": arguments["plan"],
        "results": {file: result.value for file, result in results.items()},
        "items": (row.as_json() for row in rows),
        "frozen": [freeze.as_json() for freeze in instance.retention.frozen()],
    }


def _retention_unfreeze(instance: Instance, arguments: Arguments) -> list[dict[str, Any]]:
    link = arguments.get("link")
    if link is not None:
        instance.register.get(link)
    lifted = instance.retention.unfreeze(link, arguments["by"], arguments["reason"])
    return [freeze.as_json() for freeze in lifted]


def _retention_explain(instance: Instance, arguments: Arguments) -> dict[str, Any]:
    folder, _, path = arguments["file"].partition("/")
    return instance.retention.explain(
        arguments["link"], folder, path.encode("utf-8", "surrogateescape")
    ).as_json()


def _retention_report(instance: Instance, arguments: Arguments) -> Iterator[dict[str, Any]]:
    of = (arguments.get(name) for name in ("link", "plan", "newest"))
    desk = instance.retention
    rows = desk.report_left(*of) if arguments.get("left") else desk.report(*of)
    return (row.as_json() for row in rows)


def _review_list(instance: Instance, arguments: Arguments) -> list[dict[str, Any]]:
    return [
        {
            "id": item.file.id,
            "link": item.file.link,
            "path": item.file.place,
            "rule": rule.id,
            "rule_version": rule.version,
            "mandate": rule.mandate,
            "due": item.as_json()["due"],
            "reason": item.decision.reason,
            "since": None if since is None else since.isoformat(),
        }
        for item, since in instance.retention.waiting(arguments.get("link"))
        if (rule := item.decision.rule) is not None
    ]


def _review_answer(instance: Instance, arguments: Arguments) -> dict[str, Any]:
    answer: Answer = arguments["answer"]
    until = None if answer == "approved" else _moment(arguments.get("lasting"), arguments.get("until"))
    file, reason, by = arguments["file"], arguments["reason"], arguments["by"]
    return {"id": file, **instance.retention.review(file, answer, until, reason, by).as_json()}


def _approval_give(instance: Instance, arguments: Arguments) -> dict[str, Any]:
    link, until = arguments["link"], arguments.get("until")
    zone = instance.register.get(link).zone
    return instance.retention.approve(
        link,
        arguments.get("rules", ()),
        arguments.get("files"),
        None if until is None else day_end_or_instant(until, "until", zone),
        arguments["reason"],
        arguments["by"],
    ).as_json()


def _approval_withdraw(instance: Instance, arguments: Arguments) -> dict[str, Any]:
    link, reason, by = arguments["link"], arguments["reason"], arguments["by"]
    return instance.retention.withdraw(link, reason, by).as_json()


def _approval_list(instance: Instance, arguments: Arguments) -> list[dict[str, Any]]:
    return [approval.as_json() for approval in instance.retention.approvals(arguments.get("link"))]


def _moment(lasting: str | None, until: str | None) -> Moment:
    """Until when, by a period, an instant or a day."""
    if (lasting is None) == (until is None):
        raise UsageError("until when is not clear", expected="one of --for PERIOD and --until TIME")
    if lasting is not None:
        try:
            return Period.parse(lasting).due
        except PeriodError as error:
            raise UsageError(error.what, expected=error.expected) from None
    assert until is not None
    return lambda _now, zone: day_end_or_instant(until, "until", zone)


VERBS: Mapping[str, Verb] = {
    "retention.plan": _retention_plan,
    "retention.run": _retention_run,
    "retention.explain": _retention_explain,
    "retention.report": _retention_report,
    "retention.unfreeze": _retention_unfreeze,
    "retention.review.list": _review_list,
    "retention.review.answer": _review_answer,
    "retention.approval.give": _approval_give,
    "retention.approval.list": _approval_list,
    "retention.approval.withdraw": _approval_withdraw,
}
