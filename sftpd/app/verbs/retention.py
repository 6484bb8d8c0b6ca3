"""Retention."""

from collections.abc import Mapping
from typing import Any

from sftpd.app.instance import Instance
from sftpd.app.verbs.verb import Arguments, Verb
from sftpd.retention.guard import Confirmation


def _retention_plan(instance: Instance, arguments: Arguments) -> dict[str, Any]:
    plan = instance.retention.plan(arguments.get("link"))
    return {**plan.as_json(), "frozen": [freeze.as_json() for freeze in instance.retention.against(plan)]}


def _retention_run(instance: Instance, arguments: Arguments) -> dict[str, Any]:
    confirmation = None
    if "confirm_volume" in arguments:
        confirmation = Confirmation(arguments["confirm_volume"], arguments["by"])
    results = instance.retention.run(arguments["plan"], confirmation)
    rows = instance.retention.report(plan_hash=arguments["plan"])
    return {
        "plan": arguments["plan"],
        "results": {file: result.value for file, result in results.items()},
        "items": [row.as_json() for row in rows],
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


def _retention_report(instance: Instance, arguments: Arguments) -> list[dict[str, Any]]:
    return [row.as_json() for row in instance.retention.report(arguments.get("link"), arguments.get("plan"))]


VERBS: Mapping[str, Verb] = {
    "retention.plan": _retention_plan,
    "retention.run": _retention_run,
    "retention.explain": _retention_explain,
    "retention.report": _retention_report,
    "retention.unfreeze": _retention_unfreeze,
}
