from sftpd.watch.rounds import Rounds

PACE = 30.0


def scanned(*, took, until=100.0):
    rounds = Rounds()
    rounds.begin()
    rounds.spend(took)
    rounds.end(until)
    return rounds


def test_the_first_scan_is_due_at_once():
    assert Rounds().next(PACE) < 0


def test_scans_keep_their_pace_and_take_a_tenth_of_the_time_at_most():
    assert scanned(took=1.0).next(PACE) == 130.0
    assert scanned(took=10.0).next(PACE) == 190.0


def test_a_scan_that_is_wanted_waits_only_as_long_as_the_last_one_took():
    rounds = scanned(took=10.0)
    rounds.want()
    assert rounds.next(PACE) == 110.0


def test_a_file_that_was_left_out_has_a_scan_soon():
    rounds = scanned(took=0.05)
    rounds.leave_out()
    assert rounds.next(PACE) == 101.0
    assert rounds.next(0.1) == 100.0 + 9 * 0.05
    rounds.begin()
    rounds.end(200.0)
    assert rounds.next(PACE) == 230.0


def test_what_is_wanted_while_a_scan_is_under_way_comes_after_it():
    rounds = Rounds()
    rounds.begin()
    rounds.want()
    rounds.spend(1.0)
    rounds.end(100.0)
    assert rounds.next(PACE) == 101.0
