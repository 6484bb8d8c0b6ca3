"""Every command on an instance in use, with its daemon; and what `docs/cli.md` says of each."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import typer
from cli_scene import Scene, instance, serving, sftpd
from sshd import sshd
from waiting import until

from sftpd.cli import main

DOCS = (Path(__file__).parents[2] / "docs/cli.md").read_text()
SECTIONS = {
    name: text
    for name, _, text in (
        section.partition("\n") for section in re.split(r"^### sftpd ", DOCS, flags=re.MULTILINE)[1:]
    )
}


YEARLY = f"retention yearly {datetime.now(UTC).year}"
LISTS = (
    "link list", "link show demo", "account list", "remote list", "host-key list", "hook list", "status",
    "transfer list --link demo --limit 1", "transfer list --route nonesuch",
    "transfer list --since 2999-01-01T00:00:00Z",
    "retention plan", "retention report", "retention report --left", "retention schedule", YEARLY,
    "hold list", "erasure list", "erasure index",
    "audit tail --link demo --count 150", "audit verify",
)  # fmt: skip


@dataclass(frozen=True)
class Day:
    """A day's work: the JSON document of each command, variants named after a colon; and texts for people."""

    documents: dict[str, Any]
    texts: dict[str, str]


@pytest.fixture(scope="module")
def day() -> Day:
    with instance() as scene, sshd(scene.root / "sshd") as server:
        scene.add_pull(server)
        made: dict[str, Any] = {"init": scene.made, "check": scene.json("check")}
        service = [scene.root.parent / "service", "--service", "--name", "sftp.example.org", "--json"]
        made["init:as a service"] = sftpd("init", *service).json
        made["status:without a daemon"] = scene.ask("status", "--json").json
        made |= _host_keys(scene)
        with serving(scene):
            made |= _links(scene)
            scene.upload(
                "customers.csv",
                "name,email\nJan,jan@example.org\nAnna,anna@example.org\nJ,jan+x@example.org\n",
            )
            scene.upload("old.csv", "name\nPiet\n")
            made |= _looking(scene)
            scene.json("backup", "create", "--output", scene.root / "backup.tar")
            made |= _erasure(scene)
            made |= _retention(scene)
            (server.root / "offered.csv").write_text("name\nKim\n")
            made["remote pull"] = scene.json("remote", "pull", "demo", "in")
            made |= _audit(scene)
            made["status"] = scene.json("status")
            texts = {words: _text(scene, *words.split()) for words in LISTS}
            texts["remote probe"] = _text(scene, "remote", "probe", "far", "--path", "/upload")
            texts["erasure show"] = _text(scene, "erasure", "show", made["erasure run"]["id"])
            texts["transfer show"] = _text(scene, "transfer", "show", made["transfer show"]["id"])
            made |= _released(scene) | _sending(scene)
            texts["remote show"] = _text(scene, "remote", "show", "far")
            texts["status while halted"] = _text(scene, "status")
            scene.json("transfer", "resume", "--link", "demo")
        made["vault new-key"] = scene.add_vault()
        scene.add_controller()
        with serving(scene):
            scene.upload("archived.csv", "name\nKees\n")
            made |= _vault(scene)
            made |= _processing(scene)
            texts["vault list"] = _text(scene, "vault", "list")
        made |= _restored(scene)
        link = scene.root / "links.d/demo.toml"
        link.write_text(link.read_text().replace("[policy]", "[policies]", 1))
        made["check:with faults"] = scene.ask("check", "--json").json
    with instance() as other:
        made |= _ended(other)
    return Day(made, texts)


@pytest.fixture(scope="module")
def documents(day: Day) -> dict[str, Any]:
    return day.documents


def _text(scene: Scene, *words: str) -> str:
    asked = scene.ask(*words)
    assert (asked.code, asked.err) == (0, ""), (words, asked)
    return asked.out


def _host_keys(scene: Scene) -> dict[str, Any]:
    made = {
        "host-key add": scene.json("host-key", "add", scene.root / "keys/next"),
        "account new-password": scene.json("account", "new-password", "demo", scene.root / "keys/hash"),
        "account totp-secret": scene.json("account", "totp-secret", "demo", scene.root / "keys/totp"),
    }
    config = scene.root / "sftpd.toml"
    (line,) = made["host-key add"]["set"]
    config.write_text(config.read_text().replace("[server]", f"[server]\n{line}"))
    used = scene.json("host-key", "list")[0]["fingerprint"]
    return made | {"host-key retire": scene.json("host-key", "retire", used)}


def _links(scene: Scene) -> dict[str, Any]:
    made = {"link accept": scene.json("link", "accept", "demo", "--by", "Ina")}
    made |= {
        f"link {step}": scene.json("link", step, "demo", "--reason", "test") for step in ("suspend", "resume")
    }
    made |= {f"link {verb}": scene.json("link", verb, *of) for verb, of in (("list", []), ("show", ["demo"]))}
    return made


def _ended(scene: Scene) -> dict[str, Any]:
    scene.json("hold", "add", "--link", "demo", "--reason", "Case 7")
    closed = scene.json("link", "close", "demo")
    return {"link close": closed, "link finish": scene.json("link", "finish", "demo", "--reason", "Ended")}


def _looking(scene: Scene) -> dict[str, Any]:
    made = {f"{noun} list": scene.json(noun, "list") for noun in ("account", "remote", "host-key", "hook")}
    made["remote probe"] = scene.json("remote", "probe", "far", "--path", "/upload")
    done = ["transfer", "list", "--state", "done"]
    until(lambda: len(scene.json(*done)) == 2)  # that a file is done is committed a moment later
    made["transfer list"] = scene.json(*done)
    made["transfer show"] = scene.json("transfer", "show", made["transfer list"][0]["id"])
    receipt = ("transfer", "receipt", made["transfer show"]["id"], "--verify")
    until(lambda: scene.ask(*receipt).code == 0)
    made["transfer receipt"] = scene.json(*receipt)
    file = scene.root / "links/demo/inbound/old.csv"
    made["hook test"] = scene.process("hook", "test", "pre-receive", file, "--json").json
    return made


def _restored(scene: Scene) -> dict[str, Any]:
    """An instance from a backup that was made before the erasure, which it replays, and one from now."""
    before, now = scene.root.with_name("before"), scene.root.with_name("now")
    scene.json("backup", "restore", scene.root / "backup.tar", before)
    for name in ("keys", "erasures"):
        shutil.copytree(scene.root / name, before / name)
    restored = Scene({**scene.made, "config": str(before / "sftpd.toml")})
    made = {"erasure replay": restored.json("erasure", "replay")}
    (before / "erasures/ledger.jsonl").unlink()
    made["erasure ledger-lost"] = restored.json("erasure", "ledger-lost", "--reason", "test", "--confirm")

    inbound, backup = scene.root / "links/demo/inbound", scene.root / "now.tar"
    (inbound / "archived.csv").unlink()
    (inbound / "stray.csv").write_text("name\nKoos\n")
    made["backup create"] = scene.json("backup", "create", "--output", backup, "--with-keys")
    made["backup verify"] = scene.json("backup", "verify", backup)
    made["backup restore"] = scene.json("backup", "restore", backup, now)
    shutil.copytree(scene.root / "erasures", now / "erasures")
    content, again = now / "content", Scene({**scene.made, "config": str(now / "sftpd.toml")})
    copy = again.json("vault", "list")[0]["id"]
    again.json("vault", "get", copy, "--output", content, "--reason", "test")
    assert content.read_text() == "name\nKees\n"
    assert (now / "keys/audit_ed25519").stat().st_mode & 0o777 == 0o600
    backup.write_bytes(backup.read_bytes()[:-5000])
    made["backup verify:if it does not hold"] = scene.ask("backup", "verify", backup, "--json").json
    return made


def _released(scene: Scene) -> dict[str, Any]:
    """What the gates hold back goes on by an operator's word."""
    with pytest.raises(subprocess.CalledProcessError):
        scene.upload("tool.exe", "MZ")
    (held,) = scene.json("transfer", "list", "--state", "quarantined")
    return {
        "transfer release": scene.json("transfer", "release", held["id"], "--reason", "test", "--by", "Ina")
    }


def _sending(scene: Scene) -> dict[str, Any]:
    """A file goes to the remote and goes again; another waits, is ended, and is sent all the same."""
    why = ["--reason", "test", "--by", "Ina"]
    of_route = ["--link", "demo", "--route", "far"]

    def drop(name: str, state: str) -> str:
        (scene.root / "links/demo/far" / name).write_text("name\nKees\n")
        until(lambda: _of(scene, name, state))
        return _of(scene, name, state)[0]["id"]

    first = drop("first.csv", "done")
    made = {"transfer resend": scene.json("transfer", "resend", first, *why)}
    until(lambda: len(_of(scene, "first.csv", "done")) == 2)
    made["remote pause"] = scene.json("remote", "pause", "far", *why)
    second = drop("second.csv", "sending")
    made["transfer cancel"] = scene.json("transfer", "cancel", second, *why)
    until(lambda: _of(scene, "second.csv", "failed"))
    made["transfer pause"] = scene.json("transfer", "pause", *of_route, *why)
    made["transfer retry"] = scene.json("transfer", "retry", second, *why)
    until(lambda: _of(scene, "second.csv", "sending"))
    made["remote show"] = scene.json("remote", "show", "far")
    made["remote resume"] = scene.json("remote", "resume", "far")
    made["transfer resume"] = scene.json("transfer", "resume", *of_route)
    until(lambda: _of(scene, "second.csv", "done"))
    scene.json("transfer", "pause", "--link", "demo", *why)
    return made


def _of(scene: Scene, name: str, state: str) -> list[dict[str, Any]]:
    """The outbound transfers of a file in a state."""
    wanted = ["--route", "far", "--state", state, "--since", "2020-01-01T00:00:00+01:00"]
    listed = scene.json("transfer", "list", *wanted)
    return [transfer for transfer in listed if transfer["path"] == name]


def _erasure(scene: Scene) -> dict[str, Any]:
    identifier = ["--identifier", "email=jan@example.org"]
    made = {"erasure open": scene.json("erasure", "open", "--link", "demo", *identifier)}
    first = made["erasure open"]["id"]
    request = scene.root / "request.json"
    identity = {"identity_type": "email", "identity_value": "jan@example.org", "identity_format": "raw"}
    dsr = {"subject_request_type": "erasure", "submitted_time": "2026-01-31T10:00:00Z"}
    request.write_text(json.dumps({**dsr, "subject_request_id": "7", "subject_identities": [identity]}))
    made["erasure import"] = scene.json("erasure", "import", request, "--link", "demo")
    assert made["erasure import"]["duplicate_of"] == first
    made["erasure identity"] = scene.json("erasure", "identity", first, "--ask")
    scene.json("erasure", "identity", first, "--confirm")
    made["erasure extend"] = scene.json("erasure", "extend", first, "--reason", "test")
    made["erasure deny"] = scene.json("erasure", "deny", first, "--reason", "test")
    request = scene.json("erasure", "open", "--link", "demo", *identifier)["id"]
    made["erasure find"] = scene.json("erasure", "find", request)
    made["erasure review"] = scene.json("erasure", "review", request)
    seq, why = (made["erasure review"]["matches"][0][key] for key in ("seq", "why"))
    made["erasure review:of one record"] = scene.json("erasure", "review", request, seq, "--reason", "asked")
    by_form = scene.json("erasure", "decide", request, "--form", why, "--remove")
    assert [match["decision"] for match in by_form["matches"]] == ["remove"]
    made["erasure decide"] = scene.json("erasure", "decide", request, seq, "--keep")
    other = scene.json("erasure", "open", "--link", "demo", "--identifier", "email=anna@example.org")["id"]
    (step, *_) = scene.json("erasure", "find", other)["items"]
    why = ("--ground", "17(3)(e)", "--reason", "a dispute", "--by", "Ina")
    made["erasure except"] = scene.json("erasure", "except", other, step["seq"], *why)
    assert made["erasure except"]["items"][0]["action"] == "keep"
    scene.json("erasure", "deny", other, "--reason", "test")
    made["erasure approve"] = scene.json("erasure", "approve", request)
    made["erasure list"] = scene.json("erasure", "list")
    made["erasure index"] = scene.json("erasure", "index")
    for verb in ("run", "show", "certificate"):
        made[f"erasure {verb}"] = scene.json("erasure", verb, request)
    file = scene.root / "certificate.json"
    scene.ask("erasure", "certificate", request, "--output", file)
    made["erasure verify"] = scene.json("erasure", "verify", file)
    page = scene.root / "certificate.pdf"
    made["erasure render"] = scene.json("erasure", "render", file, "--output", page, "--language", "nl")
    assert page.read_bytes().startswith(b"%PDF")
    copy = scene.root / "state/audit/demo/public"
    assert scene.json("erasure", "verify", file, "--folder", copy)["index"] > 0
    file.write_text(file.read_text().replace('"link":"demo"', '"link":"demi"'))
    made["erasure verify:if it does not hold"] = scene.ask("erasure", "verify", file, "--json").json
    return made | _notices(scene)


def _notices(scene: Scene) -> dict[str, Any]:
    """Of a file that was offered its recipient is told, in a moment."""
    (scene.root / "links/demo/outbound/offer.txt").write_text("els@example.org")
    until((scene.root / "links/demo/.sftpd/download/offer.txt").exists)
    person = ["--identifier", "email=els@example.org"]
    request = scene.json("erasure", "open", "--link", "demo", *person)["id"]
    for verb in ("find", "approve", "run"):
        scene.json("erasure", verb, request)
    until(lambda: scene.json("erasure", "show", request)["state"] == "closed")
    made = {"erasure notices": scene.json("erasure", "notices", request)}
    (notice,) = made["erasure notices"]
    laid_out = scene.root / f"links/demo/.sftpd/receipts/notices/{notice['id']}.notice.json"
    assert "els@example.org" in laid_out.read_text()
    made["erasure told"] = scene.json("erasure", "told", notice["id"], "--reason", "a letter", "--by", "Ina")
    until(lambda: not laid_out.exists())
    return made


def _processing(scene: Scene) -> dict[str, Any]:
    person = ["--identifier", "email=kees@example.org"]
    request = scene.json("erasure", "open", "--link", "demo", "--received", "2026-01-31T10:00:00Z", *person)[
        "id"
    ]
    made = {"erasure forward": scene.json("erasure", "forward", request)}
    posted = scene.root / f"links/demo/.sftpd/receipts/orders/{request}.forwarded.json"
    assert posted.read_text() == made["erasure forward"]["document"]
    assert "kees@example.org" in posted.read_text()
    made["erasure instruct"] = scene.json("erasure", "instruct", request, "--reference", "their letter")
    assert [path.name for path in posted.parent.iterdir()] == ["allowed_signers"]
    assert made["erasure instruct"]["due"].startswith("2026-03-02T")
    return made


def _retention(scene: Scene) -> dict[str, Any]:
    hold = ["--link", "demo", "--glob", "customers.csv", "--reason", "court"]
    made = {"hold add": scene.json("hold", "add", *hold), "hold list": scene.json("hold", "list")}
    person = ["--identifier", "email=jan@example.org"]
    subject = scene.json("hold", "add", "--link", "demo", *person, "--reason", "court")["id"]
    made["hold search"] = scene.json("hold", "search", subject, *person)
    scene.json("hold", "release", subject)
    made["hold show"] = scene.json("hold", "show", subject)

    def plan() -> Any:
        return scene.json("retention", "plan")

    until(lambda: any(item["action"] == "dispose" for item in plan()["items"]))
    made |= _frozen(scene, plan()["plan"])
    made["retention explain"] = scene.json("retention", "explain", "inbound/old.csv", "--link", "demo")
    part = scene.root / "links/demo/.sftpd/staging/demo/upload/old.csv.part"
    part.write_bytes((scene.root / "links/demo/inbound/old.csv").read_bytes())
    made["retention run"] = scene.json("retention", "run", "--plan", made["retention plan"]["plan"])
    made["retention report"] = scene.json("retention", "report")
    opened = ("--open", "--reason", "an audit")
    made["retention disposition"] = scene.json(
        "retention", "disposition", made["retention run"]["plan"], *opened
    )
    made["retention schedule"] = scene.json("retention", "schedule")
    made["retention yearly"] = scene.json("retention", "yearly", YEARLY.split()[-1])
    made["hold release"] = scene.json("hold", "release", made["hold add"]["id"])
    return made | _approvals(scene) | _reviews(scene)


def _approvals(scene: Scene) -> dict[str, Any]:
    give = ("retention", "approval", "give", "--link", "demo", "--reason", "authority 7", "--files", "500")
    made = {"retention approval give": scene.json(*give)}
    made["retention approval list"] = scene.json("retention", "approval", "list")
    assert made["retention approval list"] == [made["retention approval give"]]
    assert "authority 7" in _text(scene, "retention", "approval", "list")
    withdraw = ("retention", "approval", "withdraw", "--link", "demo", "--reason", "revoked")
    made["retention approval withdraw"] = scene.json(*withdraw)
    assert scene.json("retention", "approval", "list") == []
    return made


def _reviews(scene: Scene) -> dict[str, Any]:
    for name in ("one", "two", "three"):
        scene.upload(f"{name}.look", name)
    listing = ["retention", "review", "list"]
    until(lambda: len(scene.json(*listing)) == 3)
    made = {" ".join(listing): scene.json(*listing)}
    first, second, third = (item["id"] for item in made["retention review list"])
    why = ("--reason", "seen", "--by", "Ina")
    assert "inbound/one.look" in _text(scene, *listing)
    made["retention review approve"] = scene.json("retention", "review", "approve", first, *why)
    made["retention review extend"] = scene.json(
        "retention", "review", "extend", second, "--for", "P6M", *why
    )
    later = ("--until", "2998-12-31")
    made["retention review reject"] = scene.json("retention", "review", "reject", third, *later, *why)
    assert "2998-12-31T23:00:00+00:00" in made["retention review reject"]["reason"]
    assert scene.json(*listing) == []
    return made


def _vault(scene: Scene) -> dict[str, Any]:
    made = {"vault list": scene.json("vault", "list")}
    copy, output = made["vault list"][0]["id"], scene.root / "copy.csv"
    made["vault get"] = scene.json("vault", "get", copy, "--output", output, "--reason", "a complaint")
    (read,) = scene.json("audit", "search", "complaint", "--link", "demo")
    assert (read["type"], read["public"]["copy"], read["private"]["reason"]) == (
        "vault.read", copy, "a complaint"
    )  # fmt: skip
    return made


def _frozen(scene: Scene, planned: str) -> dict[str, Any]:
    """What is told while another directory lies where `inbound` was, and of how that is confirmed."""
    inbound = scene.root / "links/demo/inbound"
    away, other = inbound.with_name("away"), inbound.with_name("other")

    def refused() -> None:
        asked = scene.ask("retention", "run", "--plan", planned)
        assert asked.code == 1, asked
        assert "is another directory" in asked.err

    inbound.rename(away)
    inbound.mkdir()
    refused()
    unfreeze = ("retention", "unfreeze", "--reason", "a test")
    made = {"retention unfreeze": scene.json(*unfreeze)}
    inbound.rename(other)
    away.rename(inbound)
    other.rmdir()
    refused()
    made["retention plan"] = scene.json("retention", "plan")
    scene.json(*unfreeze)
    return made


def _audit(scene: Scene) -> dict[str, Any]:
    of = ["--link", "demo"]
    made = {
        "audit tail": scene.json("audit", "tail", *of, "--count", "150"),
        "audit show": scene.json("audit", "show", "0", *of),
        "audit search": scene.json("audit", "search", "old.csv", *of),
        "audit prove": scene.json("audit", "prove", "0", *of),
        "audit verify": scene.json("audit", "verify"),
        "audit verify-proof": _proven(scene, *of),
        "audit signer": scene.json("audit", "signer"),
    }
    bundle = scene.root / "evidence.zip"
    made["audit bundle"] = scene.json("audit", "bundle", "old.csv", *of, "--disclose", "--output", bundle)
    made["audit verify-bundle"] = scene.json("audit", "verify-bundle", bundle)
    made["audit verify-bundle:if one does not hold"] = scene.ask(
        "audit", "verify-bundle", bundle, "--origin", "another", "--json"
    ).json
    wrong = scene.ask("audit", "verify", "--key", "other+00000000+x", "--json")
    assert wrong.code == 2
    copy = scene.root / "copy"
    copy.mkdir()
    key = made["audit verify"]["key"]
    absent = ["--folder", copy, "--origin", "demo.local/demo", "--key", key]
    made["audit verify-proof:if it does not hold"] = scene.ask(
        "audit", "verify-proof", scene.root / "event.proof", "--origin", "another", "--json"
    ).json
    made["audit verify:if one does not hold"] = scene.ask("audit", "verify", *absent, "--json").json
    return made


def _proven(scene: Scene, *of: str) -> Any:
    proof, event = scene.root / "event.proof", scene.root / "event.json"
    index = str(scene.json("audit", "search", "old.csv", *of)[0]["index"])
    proof.write_text(_text(scene, "audit", "prove", index, *of))
    event.write_text(json.dumps(scene.json("audit", "show", index, *of)))
    return scene.json("audit", "verify-proof", proof, "--event", event)


def test_uploads_were_done_and_are_in_the_lists(documents: dict[str, Any]) -> None:
    assert [(t["path"], t["state"]) for t in documents["transfer list"]] == [
        ("customers.csv", "done"),
        ("old.csv", "done"),
    ]
    assert documents["hook test"] == {"event": "pre-receive", "verdict": "accept", "reason": ""}


def test_a_copy_was_read_for_a_reason(documents: dict[str, Any]) -> None:
    assert [copy["path"] for copy in documents["vault list"]] == ["archived.csv"]
    assert documents["vault get"] == documents["vault list"][0]


def test_a_pull_that_was_asked_for_brings_what_is_there_and_is_recorded(documents: dict[str, Any]) -> None:
    assert documents["remote pull"]["fetched"] == 1
    (pulled,) = [event for event in documents["audit tail"] if event["type"] == "route.pulled"]
    assert pulled["public"] == {"route": "in", "fetched": 1, "failed": 0}
    assert documents["status"]["expectations"]["demo/offers"]["state"] == "met"


def test_a_link_goes_through_its_life(documents: dict[str, Any]) -> None:
    states = [documents[f"link {step}"]["state"] for step in ("accept", "suspend", "resume")]
    assert states == ["active", "suspended", "active"]
    by = [event["private"]["by"] for event in documents["audit tail"] if event["type"] == "link.accepted"]
    assert by == ["Ina"]


def test_orders_about_transfers_are_carried_out_and_recorded(documents: dict[str, Any]) -> None:
    resent = documents["transfer resend"]
    assert (resent["path"], resent["route"]) == ("first.csv", "far")
    assert documents["transfer cancel"]["reason"] == "cancelled by Ina: test"
    assert documents["remote pause"]["state"] == "paused"
    assert documents["remote resume"]["state"] in ("untried", "probing", "up")
    assert documents["transfer pause"]["halted"] == "paused"
    assert documents["transfer resume"]["halted"] is None


def test_nothing_is_listed_of_other_routes_or_times(day: Day) -> None:
    assert "first.csv" not in day.texts["transfer list --route nonesuch"]
    assert "old.csv" not in day.texts["transfer list --since 2999-01-01T00:00:00Z"]


def test_an_erasure_is_certified_and_a_changed_certificate_does_not_hold(documents: dict[str, Any]) -> None:
    assert [item["path"] for item in documents["erasure find"]["items"]] == ["customers.csv"] * 2
    assert documents["erasure review:of one record"]["text"] == "name: J\nemail: jan+x@example.org"
    assert [match["decision"] for match in documents["erasure decide"]["matches"]] == ["keep"]
    assert documents["erasure run"]["state"] == "closed"
    assert documents["erasure verify"]["valid"] is True
    assert documents["erasure verify:if it does not hold"]["valid"] is False


def test_a_plan_disposes_of_what_is_due_and_not_of_what_is_held(documents: dict[str, Any]) -> None:
    plan = {item["path"]: item["action"] for item in documents["retention plan"]["items"]}
    assert plan == {"inbound/customers.csv": "keep", "inbound/old.csv": "dispose"}
    assert list(documents["retention run"]["results"].values()) == ["disposed"]
    (row,) = documents["retention report"]
    copy = {"path": "staging/demo/upload/old.csv.part", "result": "disposed"}
    assert (row["path"], row["copies"]) == ("old.csv", [copy])


def test_all_logs_verify(documents: dict[str, Any]) -> None:
    assert [(log["log"], log["origin"]) for log in documents["audit verify"]["logs"]] == [
        ("demo", "demo.local/demo"),
        ("system", "demo.local/system"),
    ]


def test_a_search_finds_the_events_of_a_file(documents: dict[str, Any]) -> None:
    found = [event["type"] for event in documents["audit search"]]
    assert (found[0], found[-1]) == ("transfer.received", "retention.done")


def test_people_are_shown_what_matters(day: Day) -> None:
    for words, expected in (
        ("link list", r"^demo +Demo Partner +active "),
        ("link show demo", r"^terms +Terms of the exchange 2026-01$"),
        ("account list", r"^demo +demo +1 +no +"),
        ("remote list", r"^far +demo +127\.0\.0\.1 +\d+ +demo +untried *$"),
        ("remote probe", r"^check_file +yes +SHA-256, of a range too *$"),
        ("host-key list", r"^ssh-ed25519 +SHA256:\S+ +/"),
        ("hook list", r"^pre-receive +/.*10-file-policy +yes"),
        ("status", r"^running +yes$"),
        ("status", r"^expectations +demo/offers state met, deadline 20"),
        ("transfer list --link demo --limit 1", r" offered\.csv +9 +done"),
        ("remote show", r"^state +up$"),
        ("status while halted", r"^halted +link demo paused: test$"),
        ("status", r"^remotes +demo/far untried, demo/near up$"),
        ("transfer show", r"^path +customers\.csv$"),
        ("retention report", r"^demo +inbound +old\.csv .* disposed *$"),
        ("retention schedule", r"^demo +\S+ +1 .* receipt +PT1S +"),
        (YEARLY, r"^demo +\S+ +1 +\d+ +disposed +1 *$"),
        ("hold list", r" files named customers\.csv +0 +court .* no *$"),
        ("erasure list", r" denied "),
        ("erasure show", r"^1 +inbound +redact +csv +1 +done"),
        ("audit tail --link demo --count 150", r" transfer\.received +.*path=old\.csv"),
        ("audit verify", r"^valid, signed by demo\.local\+"),
    ):
        assert re.search(expected, day.texts[words], re.MULTILINE), (words, day.texts[words])


def commands() -> dict[str, Any]:
    """Every command as typer has made it, by its name below `sftpd`."""
    found = {}
    for name, (place, _) in main.COMMANDS.items():
        application = typer.Typer(add_completion=False)
        loaded = main._load(place)
        if isinstance(loaded, typer.Typer):
            application.add_typer(loaded, name=name)
            found |= within(name, typer.main.get_group(application).commands[name])
        else:
            application.command(name)(loaded)
            found[name] = typer.main.get_command(application)
    return found


def within(name: str, command: Any) -> dict[str, Any]:
    """A command, or all commands of a group and of the groups in it."""
    if not hasattr(command, "commands"):
        return {name: command}
    return {
        full: found
        for verb, inner in command.commands.items()
        for full, found in within(f"{name} {verb}", inner).items()
    }


def parameters(command: Any) -> dict[str, bool]:
    """The arguments and long options of a command, and whether each is required."""
    found = {}
    for parameter in command.params:
        options = [name for name in parameter.opts if name.startswith("--")]
        found[options[0] if options else parameter.metavar] = parameter.required
    return found


def parameters_in(synopsis: str) -> dict[str, bool]:
    """The same as a synopsis has them: `FILE --link LINK [--json]`."""
    without_values = re.sub(r"(--[a-z-]+) [A-Z:=]+", r"\1", synopsis)
    return {word.strip("[]"): not word.startswith("[") for word in without_values.split()}


def test_every_command_is_documented_and_no_other() -> None:
    assert sorted(SECTIONS) == sorted(commands())


@pytest.mark.parametrize(("name", "command"), commands().items())
def test_a_synopsis_has_the_parameters_of_its_command(name: str, command: Any) -> None:
    synopsis = re.search(rf"^    sftpd {name}\b(.*)$", SECTIONS[name], re.MULTILINE)
    assert synopsis is not None
    real = parameters(command)
    if name == "retention run":
        real["--plan"] = True  # the command itself asks for it, so that it can say where a hash comes from
    assert parameters_in(synopsis[1]) == real


def flat(document: Any, at: str = "") -> Iterator[str]:
    """Where each value of a document is: `items[].path`."""
    if isinstance(document, dict) and document:
        for key, value in document.items():
            yield from flat(value, f"{at}.{key}" if at else key)
    elif isinstance(document, list) and document:
        for element in document:
            yield from flat(element, f"{at}[]")
    else:
        yield at.removesuffix("[]")


def documented_keys(name: str, variant: str) -> set[str]:
    """The keys that the docs list for a command, or for a variant of its outcome."""
    head = f"{variant.capitalize()}:" if variant else "JSON"
    paragraphs = SECTIONS[name].split("\n\n")
    line = next((p for p in paragraphs if p.startswith(head)), None)
    if line is None:
        return documented_keys("link register", variant)  # which speaks for the steps after it
    same = re.search(r"the keys of `sftpd ([a-z ]+)`", line)
    return documented_keys(same[1], variant) if same else set(re.findall(r"`([a-z0-9_.*\[\]]+)`", line))


def matcher(key: str) -> re.Pattern[str]:
    """What a documented key stands for: `links.*` for any key of `links`, and for none."""
    base, rest = re.fullmatch(r"(.*?)(\.\*)?(?:\[\])?", key).groups()
    return re.compile(re.escape(base) + (r"(\..+)?" if rest else ""))


def test_the_json_keys_are_as_documented(documents: dict[str, Any]) -> None:
    for title, document in documents.items():
        name, _, variant = title.partition(":")
        real = set(flat(document))
        documented = {key: matcher(key) for key in documented_keys(name, variant)}
        unknown = {at for at in real if not any(pattern.fullmatch(at) for pattern in documented.values())}
        absent = {key for key, pattern in documented.items() if not any(map(pattern.fullmatch, real))}
        assert (unknown, absent) == (set(), set()), title


def test_the_documents_are_of_all_commands_that_print_one(documents: dict[str, Any]) -> None:
    not_asked = {"serve", "link register", "link activate"}
    assert {title.partition(":")[0] for title in documents} == set(SECTIONS) - not_asked
