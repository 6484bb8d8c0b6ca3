"""Codes are good once, an account has so many wrong ones, and a wrong password tells nothing by its time."""

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import argon2
import pytest
from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.twofactor.totp import TOTP

from sftpd.clock import SystemClock
from sftpd.link.model import Account
from sftpd.names import AccountName, LinkName
from sftpd.ssh import auth
from sftpd.ssh.codes import Codes

SECRET = b"12345678901234567890"


class Stopped(SystemClock):
    def __init__(self) -> None:
        self.passed = 0.0

    def now(self) -> datetime:
        return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=self.passed)

    def monotonic(self) -> float:
        return self.passed

    def code(self, secret: bytes = SECRET) -> str:
        return TOTP(secret, 6, SHA1(), 30).generate(int(self.now().timestamp())).decode()


def test_wrong_codes_of_an_account_are_limited_wherever_they_come_from() -> None:
    clock = Stopped()
    codes = Codes(clock)
    tried = [codes.may_try("alice") for _ in range(100)]
    assert tried == [True] * 10 + [False] * 90
    assert codes.may_try("bob")
    clock.passed += 60
    assert [codes.may_try("alice") for _ in range(2)] == [True, False]
    clock.passed += 60
    assert codes.may_try("alice")
    assert codes.is_right("alice", SECRET, clock.code())
    assert [codes.may_try("alice") for _ in range(2)] == [True, False]


def test_right_codes_cost_no_tries() -> None:
    clock = Stopped()
    codes = Codes(clock)
    for _ in range(50):
        assert codes.may_try("alice")
        assert codes.is_right("alice", SECRET, clock.code())
        assert not codes.is_right("alice", SECRET, clock.code())
        clock.passed += 30


def test_a_clock_that_is_set_back_locks_nobody_out_and_has_no_code_good_twice() -> None:
    clock = Stopped()
    codes = Codes(clock)
    clock.passed += 3600
    used = []
    for _ in range(5):
        used.append(clock.code())
        assert codes.is_right("alice", SECRET, used[-1])
        clock.passed += 60
    clock.passed -= 3600
    assert codes.is_right("alice", SECRET, clock.code())
    assert not codes.is_right("alice", SECRET, clock.code())
    clock.passed += 3300
    for code in used:
        assert not codes.is_right("alice", SECRET, code)
        clock.passed += 60
    assert codes.is_right("alice", SECRET, clock.code())


def test_who_has_no_secret_has_no_right_code_and_leaves_nothing_behind() -> None:
    clock = Stopped()
    codes = Codes(clock)
    assert not codes.is_right("nobody", None, clock.code(bytes(20)))
    assert not codes._used


def test_an_unknown_user_s_password_costs_what_some_account_s_does(monkeypatch: pytest.MonkeyPatch) -> None:
    hashes = [argon2.PasswordHasher(cost, 8, 1).hash("right") for cost in (1, 2)]
    nothing: frozenset[str] = frozenset()
    accounts = [
        Account(AccountName(f"a{n}"), LinkName("l"), frozenset(), known, nothing, nothing, (), None)
        for n, known in enumerate(hashes)
    ]
    compared: list[str] = []
    monkeypatch.setattr(auth, "_HASHER", SimpleNamespace(verify=lambda known, _: compared.append(known)))
    clock = Stopped()
    authenticator = auth.Authenticator(accounts, clock, Codes(clock))
    for number in (*range(20), *range(20)):
        assert authenticator.by_password(f"nobody{number}", "wrong", "127.0.0.1") is None
    assert compared[:20] == compared[20:]
    costs = {argon2.extract_parameters(known).time_cost for known in compared}
    assert costs == {1, 2}
