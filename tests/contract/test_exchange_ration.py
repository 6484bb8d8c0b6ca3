"""What uploads are granted: of ledger and disk, across accounts of a link, failures and days."""

from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from exchange_scene import Scene

from sftpd.clock import SystemClock
from sftpd.errors import LimitError
from sftpd.exchange.ration import Ration
from sftpd.link.model import Limits
from sftpd.names import AccountName, TransferId

PATH = (b"upload", b"file")


class ShiftedClock(SystemClock):
    """The machine's clock, set ahead."""

    ahead = timedelta()

    def now(self) -> datetime:
        return super().now() + self.ahead

    def monotonic(self) -> float:
        return super().monotonic() + self.ahead.total_seconds()


@pytest.fixture
def scene(tmp_path):
    with Scene(tmp_path) as made:
        made.clock = ShiftedClock()
        yield made


def ration_of(scene, *, storage=None, **limits):
    """A ration for the scene's link, and the account with these limits."""
    link = replace(scene.partner.link, storage=storage)
    account = replace(scene.partner.account, limits=Limits(**limits))
    return Ration(link, scene.places, scene.ledger, scene.clock), account


def transfer(number):
    return TransferId(f"t{number}")


def refused(ration, account, number, size, path=PATH):
    try:
        ration.grant(account, transfer(number), path, size)
    except LimitError:
        return True
    return False


def test_uploads_under_way_hold_what_they_were_promised_until_they_give_it_back(scene):
    ration, account = ration_of(scene, bytes_per_day=1000)
    ration.grant(account, transfer(1), PATH, 600)
    assert refused(ration, account, 2, 600, (b"upload", b"other"))
    ration.give_back(transfer(1))
    assert not refused(ration, account, 2, 600, (b"upload", b"other"))


def test_an_upload_begun_anew_at_its_place_is_the_only_one_there(scene):
    ration, account = ration_of(scene, bytes_per_day=1000)
    for number in range(5):
        assert not refused(ration, account, number, 900)


def test_another_account_has_its_own_day_and_shares_the_storage(scene):
    ration, account = ration_of(scene, bytes_per_day=1000)
    other = replace(account, name=AccountName("other"))
    ration.grant(account, transfer(1), PATH, 900)
    assert not refused(ration, other, 2, 900)
    ration, account = ration_of(scene, storage=1000)
    ration.grant(account, transfer(1), PATH, 900)
    assert refused(ration, other, 2, 900)


def test_files_that_are_being_taken_in_count_once_and_failed_ones_do_not(scene):
    ration, account = ration_of(scene, files_per_day=1)
    with ration.completing(account, transfer(1), PATH, 10):
        assert refused(ration, account, 2, 10, (b"upload", b"other"))
    assert not refused(ration, account, 2, 10)
    with suppress(OSError), ration.completing(account, transfer(3), PATH, 10):
        raise OSError
    assert not refused(ration, account, 4, 10)


def test_received_files_count_until_midnight(scene):
    scene.upload("upload/first", b"x" * 800)
    ration, account = ration_of(scene, bytes_per_day=1000, files_per_day=5)
    assert refused(ration, account, 1, 300)
    assert not refused(ration, account, 2, 200)
    scene.clock.ahead = timedelta(days=1)
    assert not refused(ration, account, 3, 300)


def test_what_came_while_the_clock_was_ahead_counts_for_the_day_that_it_showed_alone(scene):
    ration, account = ration_of(scene, bytes_per_day=1000, files_per_day=1)
    scene.upload("upload/first", b"x" * 800)
    scene.clock.ahead = -timedelta(days=3)
    assert not refused(ration, account, 1, 1000)


def test_what_a_consumer_took_makes_room_at_once(scene):
    scene.clock.monotonic = lambda: 0.0
    ration, account = ration_of(scene, storage=1000)
    scene.upload("upload/one", b"x" * 800)
    assert refused(ration, account, 1, 300)
    (scene.folders.inbound / "one").unlink()
    assert not refused(ration, account, 2, 300)


def test_a_count_that_takes_long_is_not_made_anew_for_each_who_is_refused(scene, monkeypatch):
    counted = []

    def slowly(root, *, without):
        if root is scene.places["inbound"]:
            counted.append(root)
            scene.clock.ahead += timedelta(seconds=1)
            return 800
        return 0

    monkeypatch.setattr("sftpd.exchange.ration._size_of", slowly)
    ration, account = ration_of(scene, storage=1000)
    for number in range(5):
        assert refused(ration, account, number, 300)
    assert len(counted) == 1
    scene.clock.ahead += timedelta(seconds=21)
    assert refused(ration, account, 5, 300)
    assert len(counted) == 2


def test_parts_and_files_count_as_stored_and_a_part_being_written_once(scene):
    ration, account = ration_of(scene, storage=1000)
    part = scene.folders.staging / account.name / "upload/file"
    part.parent.mkdir(parents=True, exist_ok=True)
    part.write_bytes(b"x" * 500)
    (scene.folders.inbound / "deep").mkdir()
    (scene.folders.inbound / "deep/there").write_bytes(b"x" * 300)
    assert refused(ration, account, 1, 300, (b"upload", b"other"))
    assert not refused(ration, account, 2, 700)
    assert refused(ration, account, 2, 701)
    (scene.folders.inbound / "deep/there").unlink()
    scene.clock.ahead = timedelta(minutes=1)
    assert not refused(ration, account, 2, 1000)
