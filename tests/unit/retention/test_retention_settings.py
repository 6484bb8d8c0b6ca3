"""From the rules that are configured to those that retention reasons with."""

from datetime import date
from zoneinfo import ZoneInfo

import pytest

from sftpd.app.rules import build_rules
from sftpd.cli.new_instance import create_instance
from sftpd.config.address import Address
from sftpd.config.load import load
from sftpd.namedates import DatePattern
from sftpd.periods import Period, YearEnd
from sftpd.retention.rule import (
    BusinessDate,
    FileClass,
    LastAccess,
    Limit,
    LinkClosed,
    Received,
    Rule,
    Term,
)
from sftpd.retention.versions import digest

YEAR = Period(years=1)
REMOTE = """[[remote]]
name = "partner"
host = "sftp.partner.example"
user = "we"
key = "file:keys/host_ed25519"
host_keys = ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl"]
"""


@pytest.fixture
def built(tmp_path):
    """The rules that a demo link has with these lines in place of its own."""
    create_instance(tmp_path / "x", Address("127.0.0.1", 2222))

    file = tmp_path / "x/links.d/demo.toml"
    head = file.read_text().partition("[[retention]]")[0]

    def build(text):
        file.write_text(head + text)
        return build_rules(load(tmp_path / "x/sftpd.toml"))

    return build


def test_every_key_reaches_the_rule(built):
    (rule,) = built("""
[[class]]
name = "csv"
glob = ["*.csv", "*.txt"]
[[retention]]
name = "r"
version = 3
effective = 2026-01-01
folder = "sent"
account = "demo"
class = "csv"
glob = "a*"
trigger = { business_date = "%Y%m%d" }
period = "P1Y"
year_end = "06-30"
min_keep = "P30D"
max_keep = "P7Y"
action = "review"
mandate = "m"
""")
    pattern = DatePattern.parse("%Y%m%d")
    term = Term(YEAR, BusinessDate(pattern), YearEnd(6, 30), Period(days=30), Period(years=7))
    assert rule == Rule(
        "r", 3, "demo", "sent", "a*", term, "review", "m", ZoneInfo("Europe/Amsterdam"), "demo",
        FileClass("csv", ("*.csv", "*.txt")), date(2026, 1, 1),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("lines", "term", "action"),
    [
        ('period = "P1Y"', Term(YEAR), "dispose"),
        ('period = "P1Y"\ntrigger = "received"', Term(YEAR, Received()), "dispose"),
        ('period = "P1Y"\ntrigger = "last_access"', Term(YEAR, LastAccess()), "dispose"),
        ('period = "P1Y"\ntrigger = { event = "link closed" }', Term(YEAR, LinkClosed()), "dispose"),
        ('max_keep = "P1Y"\naction = "return"', Limit(YEAR), "return"),
        ('max_keep = "P1Y"\nmin_keep = "P1D"', Limit(YEAR, Period(days=1)), "dispose"),
        ('period = "fiscal"', Term(Period(years=7), year_end=YearEnd(12, 31)), "dispose"),
        ('period = "fiscal"\nyear_end = "02-29"', Term(Period(years=7), year_end=YearEnd(2, 29)), "dispose"),
        ('period = "care-logging"', Term(Period(years=5)), "dispose"),
        ('period = "incident"', Term(Period(years=3)), "dispose"),
    ],
)
def test_each_kind_of_rule_is_made(built, lines, term, action):
    (rule,) = built(f'[[retention]]\nname = "r"\nmandate = "m"\n{lines}')
    assert (rule.term, rule.action, rule.folder) == (term, action, None)


def test_how_long_a_returned_file_is_offered_is_said_or_a_month(built):
    said, usual = built(
        '[[retention]]\nname = "a"\nperiod = "P1Y"\nmandate = "m"\naction = "return"\nreturned_for = "P5D"\n'
        '[[retention]]\nname = "b"\nperiod = "P1Y"\nmandate = "m"\naction = "return"'
    )
    assert (said.returned_for, usual.returned_for) == (Period(days=5), Period(days=30))


def test_files_go_back_by_download_or_a_route(built):
    rule = '[[retention]]\nname = "{}"\nperiod = "P1Y"\nmandate = "m"\naction = "return"\n{}\n'
    ways = ("", 'return_by = "download"', 'return_by = "route:back"')
    route = '[[route]]\nname = "back"\ndirection = "outbound"\nfolder = "back"\nto = "remote:partner"\n'
    rules = "".join(rule.format(f"r{number}", way) for number, way in enumerate(ways))
    assert [each.return_by for each in built(REMOTE + route + rules)] == [None, None, "back"]


def test_a_mandate_is_added_to_the_source_of_a_preset(built):
    alone, added = built(
        '[[retention]]\nname = "a"\nperiod = "fiscal"\n'
        '[[retention]]\nname = "b"\nperiod = "fiscal"\nmandate = "And so on"'
    )
    assert "2:10" in alone.mandate
    assert added.mandate == f"{alone.mandate}; And so on"


AS_USED = """
[[class]]
name = "csv"
glob = ["*.csv"]
[[retention]]
name = "full"
version = 2
effective = 2026-01-01
folder = "sent"
account = "demo"
class = "csv"
glob = "a*"
trigger = { business_date = "%Y-%m-%d" }
period = "P1Y"
year_end = "12-31"
min_keep = "P1M"
max_keep = "P9Y"
action = "return"
returned_for = "P5D"
mandate = "m"
[[retention]]
name = "plain"
period = "P90D"
mandate = "m"
"""
DIGESTS = ["7fe29eed", "3c57c8c5"]
"""How those begin that instances have in their ledgers: others would have them raise all versions."""


def test_the_digest_of_a_rule_stays_what_it_was(built):
    assert [digest(rule)[:8] for rule in built(AS_USED)] == DIGESTS


@pytest.mark.parametrize(
    ("preset", "used"), [("fiscal", "46c7b518"), ("care-logging", "2cef4b4a"), ("incident", "65f1cad7")]
)
def test_a_preset_stays_what_it_was(built, preset, used):
    (rule,) = built(f'[[retention]]\nname = "r"\nperiod = "{preset}"\n')
    assert digest(rule)[:8] == used


@pytest.mark.parametrize(
    ("found", "put"),
    [
        ('glob = ["*.csv"]', 'glob = ["*.csv", "*.txt"]'),
        ("effective = 2026-01-01", "effective = 2026-01-02"),
        ('folder = "sent"\n', ""),
        ('account = "demo"\n', ""),
        ('class = "csv"\n', ""),
        ('glob = "a*"', 'glob = "b*"'),
        ("%Y-%m-%d", "%Y%m%d"),
        ('period = "P1Y"', 'period = "P2Y"'),
        ("12-31", "06-30"),
        ('min_keep = "P1M"', 'min_keep = "P2M"'),
        ('max_keep = "P9Y"', 'max_keep = "P8Y"'),
        ("P5D", "P6D"),
        ('returned_for = "P5D"\nmandate = "m"', 'returned_for = "P5D"\nmandate = "n"'),
    ],
)
def test_whatever_changes_in_a_rule_changes_its_digest(built, found, put):
    (full, _), (other, _) = built(AS_USED), built(AS_USED.replace(found, put))
    assert digest(full) != digest(other)


def test_a_default_that_is_written_down_changes_nothing(built):
    plain = built(AS_USED)[1]
    said = built(AS_USED + 'glob = "*"\nversion = 1\ntrigger = "received"\naction = "delete"\n')[1]
    assert digest(plain) == digest(said)
