"""Admission, penalties and the tally of what is logged, each against its definition."""

from ipaddress import ip_network

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from sftpd.ssh import penalties as p
from sftpd.ssh.admission import Admission, Admitted, Reason, Refused, Rules, Source
from sftpd.ssh.penalties import Offence, Penalties
from sftpd.ssh.tally import Tally

RULES = Rules(
    sessions=20,
    guests=8,
    guests_per_address=3,
    guests_per_network=5,
    penalties=True,
    exempt=(ip_network("198.51.100.9"),),
    starts_per_network=1000,
)
GUILTY = Source.parse("192.0.2.1")
HONEST = Source.parse("198.51.100.1")


def rules(**changes):
    return Rules(**{field: getattr(RULES, field) for field in Rules.__slots__} | changes)


def admitted(admission, address, now=0.0):
    decision = admission.knock(Source.parse(address), now)
    assert isinstance(decision, Admitted), decision
    return decision


def offend(admission, address, offence, times, now=0.0):
    """Which of the offences began a penalty."""
    return [admission.leave(admitted(admission, address, now).number, offence, now) for _ in range(times)]


@pytest.mark.parametrize(
    ("text", "address", "network"),
    [
        ("192.0.2.77", "192.0.2.77/32", "192.0.2.0/24"),
        ("2001:db8:1:2:3::4", "2001:db8:1:2::/64", "2001:db8:1::/48"),
        ("::ffff:192.0.2.77", "192.0.2.77/32", "192.0.2.0/24"),
        ("fe80::1%eth0", "fe80::/64", "fe80::/48"),
    ],
)
def test_a_source_is_an_address_and_a_network(text, address, network):
    source = Source.parse(text)
    assert (str(source.address), str(source.network)) == (address, network)


def test_guests_of_an_address_are_limited():
    admission = Admission(RULES)
    for _ in range(3):
        admitted(admission, "192.0.2.1")
    assert admission.knock(GUILTY, 0.0) == Refused(Reason.ADDRESS_LIMIT)
    admitted(admission, "192.0.2.2")


def test_guests_of_a_network_are_limited():
    admission = Admission(RULES)
    for last in range(5):
        admitted(admission, f"2001:db8::{last}:0:0:0:1")
    assert admission.knock(Source.parse("2001:db8:0:9::1"), 0.0) == Refused(Reason.NETWORK_LIMIT)
    admitted(admission, "2001:db8:1::1")


def test_who_has_logged_in_takes_no_place_of_a_guest():
    admission = Admission(RULES)
    for _ in range(RULES.sessions):
        assert admission.log_in(admitted(admission, "192.0.2.1").number)
    assert admission.knock(HONEST, 0.0) == Refused(Reason.SESSION_LIMIT)
    admission.leave(1, Offence.CRASH, 0.0)
    admitted(admission, "192.0.2.1")


def test_the_oldest_guest_of_the_most_crowded_address_makes_room():
    admission = Admission(RULES)
    for address in ("198.51.100.1", "192.0.2.1", "192.0.2.1", "203.0.113.1", "192.0.2.1"):
        admitted(admission, address)
    for third in range(3):
        admitted(admission, f"10.0.{third}.1")
    newcomer = admitted(admission, "198.51.100.2")
    assert newcomer.displaced == 2
    assert not admission.log_in(2)
    assert admission.log_in(3)


def test_a_crowded_network_makes_room_before_an_honest_address_with_more_guests():
    admission = Admission(RULES)
    for address in ("198.51.100.1", "198.51.100.1", *(f"192.0.2.{last}" for last in range(5)), "10.0.0.1"):
        admitted(admission, address)
    assert admitted(admission, "203.0.113.1").displaced == 3


def test_guests_take_at_most_half_of_all_sessions():
    admission = Admission(rules(sessions=4))
    displaced = [admitted(admission, f"10.0.{third}.1").displaced for third in range(4)]
    assert displaced == [None, None, 1, 2]


def test_one_session_in_all_is_one_guest():
    admission = Admission(rules(sessions=1))
    assert admission.log_in(admitted(admission, "192.0.2.1").number)
    assert admission.knock(HONEST, 0.0) == Refused(Reason.SESSION_LIMIT)


def test_ordinary_mistakes_are_forgiven_and_many_are_not():
    admission = Admission(RULES)
    assert offend(admission, "192.0.2.1", Offence.FAILED_LOGIN, 4) == [None, None, None, GUILTY]
    assert admission.knock(GUILTY, 19.9) == Refused(Reason.PENALTY)
    admitted(admission, "198.51.100.1")
    admitted(admission, "192.0.2.1", now=20.0)


def test_one_crash_is_enough():
    assert offend(Admission(RULES), "192.0.2.1", Offence.CRASH, 1) == [GUILTY]


def test_the_beginning_of_a_penalty_is_told_once():
    admission = Admission(RULES)
    numbers = [admitted(admission, "192.0.2.1").number for _ in range(3)]
    assert [admission.leave(n, Offence.CRASH, 0.0) for n in numbers] == [GUILTY, None, None]


def test_an_ipv6_host_is_refused_in_its_whole_64():
    admission = Admission(RULES)
    offend(admission, "2001:db8::1", Offence.CRASH, 1)
    assert admission.knock(Source.parse("2001:db8::2"), 0.0) == Refused(Reason.PENALTY)
    admitted(admission, "2001:db8:0:1::1")


def test_who_has_logged_in_is_not_penalised():
    admission = Admission(RULES)
    number = admitted(admission, "192.0.2.1").number
    admission.log_in(number)
    assert admission.leave(number, Offence.CRASH, 0.0) is None
    admitted(admission, "192.0.2.1")


@pytest.mark.parametrize(
    ("changed", "address"), [({}, "198.51.100.9"), ({"penalties": False}, "192.0.2.1")], ids=["exempt", "off"]
)
def test_penalties_can_be_left_out(changed, address):
    assert offend(Admission(rules(**changed)), address, Offence.CRASH, 9) == [None] * 9


class AdmissionModel(RuleBasedStateMachine):
    """Any order of arrivals, logins and ends: limits hold, and nobody who logged in is ended for another."""

    addresses = st.builds(
        "{}.{}".format, st.sampled_from(["192.0.2", "10.0.0", "10.0.1", "10.0.2"]), st.integers(1, 4)
    )

    def __init__(self):
        super().__init__()
        self.admission = Admission(rules(sessions=12, guests=7))
        self.now = 0.0
        self.guests, self.displaced, self.members = {}, {}, set()
        self.until, self.enforced = {}, set()

    def pick(self, data, numbers):
        return data.draw(st.sampled_from(sorted(numbers)))

    @rule(seconds=st.floats(0.0, 700.0, width=16))
    def time_passes(self, seconds):
        self.now += seconds

    @rule(address=addresses)
    def somebody_comes(self, address):
        source = Source.parse(address)
        guests = list(self.guests.values())
        full = len(guests) >= 6 or len(guests) + len(self.members) >= 12
        decision = self.admission.knock(source, self.now)
        if self.is_refused(source.address):
            assert decision == Refused(Reason.PENALTY)
        elif sum(guest.address == source.address for guest in guests) >= 3:
            assert decision == Refused(Reason.ADDRESS_LIMIT)
        elif sum(guest.network == source.network for guest in guests) >= 5:
            assert decision == Refused(Reason.NETWORK_LIMIT)
        elif full and not guests:
            assert decision == Refused(Reason.SESSION_LIMIT)
        else:
            self.note(decision, source, full)

    def note(self, decision, source, full):
        assert isinstance(decision, Admitted)
        assert (decision.displaced is not None) == full
        if full:
            ended = self.guests.pop(decision.displaced)
            same = [number for number, guest in self.guests.items() if guest == ended]
            assert all(number > decision.displaced for number in same)
            self.displaced[decision.displaced] = ended
        assert decision.number not in {*self.guests, *self.members, *self.displaced}
        self.guests[decision.number] = source

    @precondition(lambda self: self.guests)
    @rule(data=st.data())
    def a_guest_logs_in(self, data):
        number = self.pick(data, self.guests)
        assert self.admission.log_in(number)
        del self.guests[number]
        self.members.add(number)

    @precondition(lambda self: self.displaced)
    @rule(data=st.data())
    def who_was_displaced_cannot_log_in(self, data):
        assert not self.admission.log_in(self.pick(data, self.displaced))

    @precondition(lambda self: self.guests or self.displaced)
    @rule(data=st.data(), offence=st.sampled_from([None, *Offence]))
    def a_guest_leaves(self, data, offence):
        number = self.pick(data, {*self.guests, *self.displaced})
        source = (self.guests if number in self.guests else self.displaced).pop(number)
        begun = self.admission.leave(number, offence, self.now)
        assert begun == (source if offence and self.penalise(source.address, offence) else None)

    @precondition(lambda self: self.members)
    @rule(data=st.data(), offence=st.sampled_from([None, *Offence]))
    def who_logged_in_leaves(self, data, offence):
        number = self.pick(data, self.members)
        self.members.remove(number)
        assert self.admission.leave(number, offence, self.now) is None

    def is_refused(self, address):
        return address in self.enforced and self.until[address] > self.now

    def penalise(self, address, offence):
        """Whether a penalty begins: the definition."""
        if self.until.get(address, self.now) <= self.now:
            self.enforced.discard(address)
        grown = max(self.until.get(address, self.now), self.now) + p.PRICES[offence]
        self.until[address] = min(grown, self.now + 600.0)
        begins = address not in self.enforced and self.until[address] - self.now > 15.0
        self.enforced |= {address} if begins else set()
        return begins

    @invariant()
    def it_remembers_nobody_else(self):
        assert self.admission._guests == self.guests
        assert self.admission._members == self.members
        assert self.admission._displaced == self.displaced


TestAdmissionModel = AdmissionModel.TestCase
TestAdmissionModel.settings = settings(max_examples=150, stateful_step_count=60)


def test_no_penalty_grows_above_the_longest():
    penalties = Penalties()
    for _ in range(20):
        penalties.add(GUILTY.address, Offence.CRASH, 0.0)
    assert penalties.left(GUILTY.address, 0.0) == p.LONGEST


@given(st.lists(st.tuples(st.sampled_from(list(Offence)), st.floats(0, 100)), max_size=60))
def test_a_penalty_runs_off_within_its_longest_time(offences):
    penalties, now = Penalties(), 0.0
    for offence, pause in offences:
        now += pause
        penalties.add(GUILTY.address, offence, now)
        assert penalties.left(GUILTY.address, now) <= p.LONGEST
    assert penalties.left(GUILTY.address, now + p.LONGEST) == 0.0
    assert not penalties.add(GUILTY.address, Offence.NO_TRY, now + p.LONGEST)
    assert penalties.left(GUILTY.address, now + p.LONGEST) == 0.0


def sources(count):
    return [Source.parse(f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}").address for n in range(count)]


def test_the_table_of_penalties_is_bounded_and_keeps_the_highest():
    penalties = Penalties()
    for _ in range(3):
        penalties.add(GUILTY.address, Offence.CRASH, 0.0)
    for source in sources(2 * p.TABLE_LIMIT):
        penalties.add(source, Offence.NO_TRY, 0.0)
        assert len(penalties) <= p.TABLE_LIMIT
    assert penalties.left(GUILTY.address, 0.0) == 270.0


def test_penalties_that_have_run_off_make_room_first():
    penalties = Penalties()
    old, new = sources(p.TABLE_LIMIT + 1)[:-1], sources(p.TABLE_LIMIT + 1)[-1]
    for source in old:
        penalties.add(source, Offence.NO_TRY, 0.0)
    penalties.add(new, Offence.CRASH, 5.0)
    assert len(penalties) == 1


def test_a_flood_is_a_line_in_ten_seconds_that_counts_it():
    tally = Tally()
    counts = [tally.count("flood", now / 100) for now in range(2001)]
    assert [(now, count) for now, count in enumerate(counts) if count] == [(0, 1), (1000, 1000), (2000, 1000)]


def test_sources_are_counted_apart_and_not_without_end():
    tally = Tally()
    assert [tally.count(source, 0.0) for source in range(5000)] == [1] * 5000
    assert len(tally) == 1024
    assert tally.count(4999, 1.0) == 0


def starts(admission, address, tries, now=0.0):
    """How many of so many connections that leave at once are let in."""
    let_in = 0
    for _ in range(tries):
        decision = admission.knock(Source.parse(address), now)
        if isinstance(decision, Admitted):
            let_in += 1
            admission.leave(decision.number, None, now)
        else:
            assert decision == Refused(Reason.START_LIMIT)
    return let_in


def test_a_network_starts_no_more_than_its_share_a_second_and_others_theirs():
    admission = Admission(rules(starts_per_network=5))
    assert starts(admission, "192.0.2.1", 4) == 4
    assert starts(admission, "192.0.2.2", 20) == 2  # the burst of a second, and the one that runs into debt
    assert starts(admission, "198.51.100.1", 5) == 5
    assert starts(admission, "198.51.100.9", 100) == 100
    assert starts(admission, "192.0.2.3", 20, now=1.0) == 5
    assert starts(admission, "192.0.2.3", 20, now=100.0) == 6


def test_networks_whose_starts_are_counted_are_bounded():
    admission = Admission(rules())
    for number in range(20_000):
        starts(admission, f"10.{number >> 8}.{number & 255}.1", 1)
    assert len(admission._starts) <= 16_384
