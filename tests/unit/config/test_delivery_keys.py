"""The keys that say how files are brought to a remote."""

import pytest
from pydantic import ValidationError

from sftpd.app.links import _handling
from sftpd.config.checks import check_link
from sftpd.config.delivery_model import HandlingSection
from sftpd.config.link_model import LinkFile
from sftpd.exchange.layout import temporary_name
from sftpd.link.model import PARTS, Handling

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8g"


def test_what_is_left_out_is_what_the_model_does_by_itself() -> None:
    assert _handling(HandlingSection()) == Handling()


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("prefix", b".sftpd-ID.part"),
        ("suffix", b"report.csv.sftpd-ID.part"),
        ("none", b"report.csv"),
        ("{id}", b"ID"),
        ("in.{name}.{id}", b"in.report.csv.ID"),
        ("~{name}-{id}.tmp", b"~report.csv-ID.tmp"),
    ],
)
def test_a_temporary_name_is_made_after_its_pattern(given: str, name: bytes) -> None:
    handling = _handling(HandlingSection(temporary=given))
    assert temporary_name(handling.temporary, "ID", b"report.csv") == name


def test_a_name_with_braces_is_not_read_as_a_pattern() -> None:
    assert temporary_name(PARTS["suffix"], "ID", b"{id}{name}") == b"{id}{name}.sftpd-ID.part"


@pytest.mark.parametrize("length", [200, 240, 255])
def test_a_temporary_name_is_never_too_long(length: int) -> None:
    name = temporary_name(PARTS["suffix"], "i" * 26, b"x" * length)
    assert len(name) <= 255
    assert name.endswith(b".sftpd-" + b"i" * 26 + b".part")


@pytest.mark.parametrize(
    "given",
    [
        "",
        "part",
        "{name}.part",
        "{id}.{name}",
        "{id}{id}",
        "a/{id}",
        "{id}\n",
        "{other}{id}",
        5,
        "x" * 200 + "{id}",
    ],
)
def test_a_pattern_that_could_be_taken_for_another_file_is_refused(given: object) -> None:
    with pytest.raises(ValidationError, match='allowed: "prefix", "suffix", "none", or a name with'):
        HandlingSection.model_validate({"temporary": given})


@pytest.mark.parametrize(("given", "mode"), [("0640", 0o640), ("600", 0o600)])
def test_a_mode_is_octal(given: str, mode: int) -> None:
    assert _handling(HandlingSection.model_validate({"mode": given})).mode == mode


@pytest.mark.parametrize("given", [640, "64", "0888", "4755", "rw"])
def test_what_is_no_mode_is_refused(given: object) -> None:
    with pytest.raises(ValidationError, match="octal"):
        HandlingSection.model_validate({"mode": given})


def link(temporary: str, conflict: str, to: str) -> LinkFile:
    return LinkFile.model_validate(
        {
            "link": {"name": "demo", "counterparty": "ACME", "personal_data": False},
            "remote": [
                {
                    "name": "partner",
                    "host": "sftp.partner.example",
                    "user": "us",
                    "password": "env:NOT_SET",
                    "host_keys": [KEY],
                    "temporary": temporary,
                }
            ],
            "route": [{"name": "out", "direction": "outbound", "to": to, "conflict": conflict}],
        }
    )


@pytest.mark.parametrize("conflict", ["fail", "keep-both", "skip"])
def test_without_temporary_names_a_route_can_only_replace(conflict: str) -> None:
    (finding,) = check_link(link("none", conflict, "remote:partner"), "demo")
    assert finding.text.endswith('allowed: "replace", for remote "partner" has temporary = "none"')
    for good in (link("none", "replace", "remote:partner"), link("none", conflict, "download")):
        assert list(check_link(good, "demo")) == []


def test_every_key_reaches_the_courier() -> None:
    given = {
        "temporary": "{id}",
        "resume": False,
        "resume_limit": 1,
        "check_file": "never",
        "confirm": "size",
        "confirm_limit": "2 KiB",
        "fsync": False,
        "preserve_times": True,
        "mode": "0644",
        "posix_rename": False,
        "confirm_placed": False,
    }
    made = _handling(HandlingSection.model_validate(given))
    assert set(given) == set(Handling.__dataclass_fields__)
    assert made == Handling(**given | {"confirm_limit": 2048, "mode": 0o644})
    assert all(getattr(made, key) != getattr(Handling(), key) for key in given)
