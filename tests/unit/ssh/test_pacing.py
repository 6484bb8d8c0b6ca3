from hypothesis import given
from hypothesis import strategies as st

from sftpd.ssh.bucket import BURST, Bucket
from sftpd.ssh.pace import FREE, FREE_CHANNELS, ChannelPace, Pace
from sftpd.ssh.pacing import Pacing


class SetClock:
    """A clock that stands where it is put."""

    def __init__(self) -> None:
        self.at = 0.0

    def monotonic(self) -> float:
        return self.at


def test_a_burst_goes_at_once_and_the_rest_at_the_rate() -> None:
    bucket = Bucket.full(100, 5.0)
    assert bucket.spend(100, 5.0) == 0
    assert bucket.spend(50, 5.0) == 0.5
    assert bucket.spend(50, 5.5) == 0.5
    assert bucket.spend(100, 60.0) == 0  # a pause saves no more than the burst
    assert bucket.spend(100, 60.0) == 1


@given(
    rate=st.integers(1024, 2**30),
    moves=st.lists(st.tuples(st.integers(1, 2**20), st.floats(0, 5)), max_size=50),
)
def test_whoever_waits_as_told_stays_below_the_rate(rate: int, moves: list[tuple[int, float]]) -> None:
    bucket, now, spent = Bucket.full(rate, 0.0), 0.0, 0
    for count, pause in moves:
        wait = bucket.spend(count, now)
        spent += count
        now += max(wait, pause)
        assert spent <= (now + BURST) * rate * 1.000001


def test_sessions_of_one_account_wait_for_each_other_and_for_nobody_else() -> None:
    clock = SetClock()
    pacing = Pacing(clock)
    rate = 80_000
    one, two = (Pace(rate, lambda size: pacing.lease("a", rate, size)) for _ in "12")
    other = Pace(rate, lambda size: pacing.lease("b", rate, size))
    assert one.spend(80_000, 0.0) == 0
    assert two.spend(80_000, 0.0) == 1.0
    assert one.spend(40_000, 0.0) == 1.5
    assert other.spend(80_000, 0.0) == 0
    clock.at = 3.0
    assert two.spend(1, 3.0) == 0


def test_a_lease_is_used_up_before_another_is_taken() -> None:
    taken: list[int] = []
    pace = Pace(8 * 20_000, lambda size: taken.append(size) or 0.0)
    for _ in range(40):
        pace.spend(1000, 0.0)
    assert taken == [20_000, 20_000]
    pace.spend(300_000, 0.0)
    assert sum(taken) == 340_000


def test_no_more_is_taken_than_will_be_moved() -> None:
    taken: list[int] = []
    pace = Pace(80_000_000, lambda size: taken.append(size) or 0.0, 1000)
    for _ in range(10):
        pace.spend(100, 0.0)
    assert taken == [1000]


def test_a_channel_waits_for_what_it_moved_itself_and_not_for_the_others() -> None:
    pacing = Pacing(SetClock())
    pace = Pace(1024, lambda size: pacing.lease("a", 1024, size))
    bulk, other = ChannelPace(pace), ChannelPace(pace)
    bulk.spend(64 * 1024, 0.0)
    assert bulk.due == pace.due == 63.0
    moved = 0
    while other.due == 0.0:
        other.spend(1024, 0.0)
        moved += 1024
    assert moved == FREE
    assert other.due == bulk.due == 63.0 + FREE / 1024


def test_all_channels_have_their_turn_again_once_the_session_may_go_on() -> None:
    clock = SetClock()
    pacing = Pacing(clock)
    pace = Pace(1024, lambda size: pacing.lease("a", 1024, size))
    bulk, other = ChannelPace(pace), ChannelPace(pace)
    bulk.spend(2 * FREE, 0.0)
    other.spend(FREE, 0.0)
    assert other.due == pace.due
    clock.at = pace.due
    bulk.spend(FREE, clock.at)  # it comes first, and has used up what there was
    assert bulk.due > clock.at
    assert other.due == 0.0


@given(
    moves=st.lists(st.tuples(st.integers(0, 5), st.integers(1, 2**18), st.booleans()), max_size=200),
    rate=st.integers(1024, 2**24),
)
def test_new_channels_all_the_time_do_not_pass_the_rate(
    moves: list[tuple[int, int, bool]], rate: int
) -> None:
    clock = SetClock()
    pacing = Pacing(clock)
    pace = Pace(rate, lambda size: pacing.lease("a", rate, size))
    channels = [ChannelPace(pace) for _ in range(6)]
    moved = 0
    for which, count, is_new in moves:
        if is_new:
            channels[which] = ChannelPace(pace)
        if channels[which].due > clock.at:
            clock.at = channels[which].due
        channels[which].spend(count, clock.at)
        moved += count
        ahead = (FREE_CHANNELS + 1) * (FREE + 2**18)
        assert moved <= (clock.at + BURST) * rate * 1.000001 + ahead
