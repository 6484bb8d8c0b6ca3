"""docs/limits.md against the model, the code's reasons and the metrics there are."""

import re
from pathlib import Path

import pytest

from sftpd.config.link_model import AccountLimitsSection, LinkSection, OutboundSection
from sftpd.config.model import LimitsSection, ServerSection
from sftpd.service.metrics import EVENTS
from sftpd.ssh.admission import Reason

REPOSITORY = Path(__file__).parents[3]
SECTIONS = {"server": ServerSection, "limits": LimitsSection, "link": LinkSection, "route": OutboundSection}


def rows() -> list[list[str]]:
    lines = (REPOSITORY / "docs/limits.md").read_text().splitlines()
    table = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("| ")]
    return table[1:]


@pytest.mark.parametrize("row", rows(), ids=lambda row: row[1])
def test_each_row_tells_key_and_default_as_the_model_has_them(row: list[str]) -> None:
    table, _, key = row[1].strip("`").partition(".")
    default = SECTIONS[table].model_fields[key].default
    match default:
        case None:
            assert row[2] == ""
        case bool():
            assert row[2] == str(default).lower()
        case _:
            assert row[2] == f"{default:g}"


def test_every_limit_of_accounts_has_a_row() -> None:
    told = {row[1].strip("`") for row in rows()}
    assert {f"limits.{key}" for key in LimitsSection.model_fields} <= told


def test_what_holds_for_all_can_be_said_for_one() -> None:
    own = set(AccountLimitsSection.model_fields)
    assert own - {"sessions"} == set(LimitsSection.model_fields)


def test_each_reason_and_metric_that_is_told_exists() -> None:
    sources = "".join(path.read_text() for path in (REPOSITORY / "sftpd").rglob("*.py"))
    names = {name for name, *_ in EVENTS.values()}
    for row in rows():
        for reason in re.findall(r"`([A-Z_]+)`", row[4]):
            assert f'"{reason}"' in sources
        metric = row[5].strip("`")
        assert f'"{metric.removesuffix("_total")}"' in sources
        assert metric.endswith("_total") == (metric.removesuffix("_total") in names | _counted())
    assert {reason.value for reason in Reason} <= set(re.findall(r"[A-Z_]{5,}", str(rows())))


def _counted() -> set[str]:
    return {"sftpd_connections_refused", "sftpd_received_bytes", "sftpd_fetched_bytes"}
