"""Who may stay logged in, judged each second of each session."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from daemon import command
from structlog.testing import capture_logs

from sftpd.app.instance import Instance
from sftpd.app.welcome import Welcome
from sftpd.clock import SystemClock
from sftpd.config.load import load
from sftpd.errors import RefusedError
from sftpd.link.model import Account
from sftpd.ssh.auth import Authenticator
from sftpd.ssh.codes import Codes


@pytest.fixture
def instance(tmp_path):
    made = command("init", str(tmp_path / "instance"))
    assert made.returncode == 0, made.stderr
    with Instance(load(tmp_path / "instance/sftpd.toml"), SystemClock()) as opened:
        yield opened


def welcome_of(instance, *accounts):
    authenticator = Authenticator(accounts, instance.clock, Codes(instance.clock))
    return Welcome(instance, lambda: authenticator)


def test_to_judge_sessions_hashes_no_account(instance, monkeypatch):
    (account,) = instance.register.get("demo").accounts
    accounts = [
        replace(account, name=f"account{n}", keys=frozenset({b"key"} | account.keys)) for n in range(9)
    ]
    welcome = welcome_of(instance, *accounts)
    hashed, hash_of = [], Account.__hash__
    monkeypatch.setattr(Account, "__hash__", lambda self: hashed.append(self) or hash_of(self))
    for known in accounts:
        welcome.require(known)
        assert not welcome.look()(known)
    assert not hashed


def test_who_is_judged_in_one_look_is_judged_once_for_all_sessions(instance):
    (account,) = instance.register.get("demo").accounts
    welcome = welcome_of(instance, account)
    with capture_logs() as logs:
        has_ended = welcome.look()
        assert [has_ended(account) for _ in range(5)] == [False] * 5
        instance.register.move("demo", "suspend", by="Ina", reason="test")
        assert not has_ended(account), "it is one look"
        has_ended = welcome.look()
        assert [has_ended(account) for _ in range(5)] == [True] * 5
    assert [log["reason"] for log in logs if log["event"] == "session_ended"] == ["LINK_NOT_ACTIVE"]


def test_an_account_that_a_reload_changed_or_took_out_is_not_welcome(instance):
    (account,) = instance.register.get("demo").accounts
    welcome = welcome_of(instance, replace(account))
    welcome.require(account)
    others = [
        (replace(account, denied=frozenset({"rename"})), "ACCOUNT_CHANGED"),
        (replace(account, name="other"), "ACCOUNT_CHANGED"),
    ]
    for other, reason in others:
        with pytest.raises(RefusedError) as refused:
            welcome.require(other)
        assert refused.value.reason == reason
    over = replace(account, expires=datetime(2020, 1, 1, tzinfo=UTC))
    with pytest.raises(RefusedError) as refused:
        welcome_of(instance, over).require(over)
    assert refused.value.reason == "ACCOUNT_EXPIRED"
