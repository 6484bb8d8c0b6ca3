"""When keys are to be changed, and how often they may be."""

import paramiko
import pytest

from sftpd.ssh.key_use import RENEW_AFTER_SECONDS, KeyUse

MIB = 1 << 20


def change(keys: KeyUse, now: float, between: int = 0) -> None:
    keys.changed(now)
    keys.use(between)
    keys.changed(now)


def test_keys_are_due_after_their_bytes_and_no_more_once_both_directions_have_new_ones() -> None:
    keys = KeyUse(0, renew_after=100)
    keys.use(99)
    assert not keys.due
    keys.use(100)
    assert keys.due
    keys.changed(1)
    assert keys.due
    assert keys.half_changed
    keys.changed(1)
    assert not keys.due


def test_keys_are_due_after_an_hour_if_they_were_used() -> None:
    keys = KeyUse(0)
    keys.look(2 * RENEW_AFTER_SECONDS)
    assert not keys.due
    keys.use(1)
    keys.look(RENEW_AFTER_SECONDS)
    assert keys.due


def test_who_never_lets_them_be_changed_is_sent_away() -> None:
    keys = KeyUse(0, renew_after=100)
    with pytest.raises(paramiko.SSHException, match="does not let"):
        keys.use(1 << 40)


def test_changes_without_need_are_bounded_and_worthwhile_ones_are_not() -> None:
    keys = KeyUse(0)
    for _ in range(1000):
        keys.use(16 * MIB)
        change(keys, 1, between=100)
    for _ in range(16):
        change(keys, 1)
    with pytest.raises(paramiko.SSHException, match="all the time"):
        change(keys, 1)


def test_a_change_now_and_then_is_free() -> None:
    keys = KeyUse(0)
    for minute in range(1000):
        change(keys, 60.0 * minute)
