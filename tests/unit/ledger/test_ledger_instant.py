from datetime import UTC, datetime, timedelta, timezone

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from sftpd.ledger.tables import Instant

_ZONES = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
# Far enough from either end of what a datetime can hold for any zone.
_DAYS = st.timedeltas(timedelta(days=-60_000), timedelta(days=2_500_000))
_INSTANTS = st.builds(
    lambda passed, zone: (datetime(1970, 1, 1, tzinfo=UTC) + passed).astimezone(zone), _DAYS, _ZONES
)
_DIALECT = sa.create_engine("sqlite://").dialect


@given(_INSTANTS)
def test_an_instant_comes_back_as_itself_in_utc(instant):
    kept = Instant().process_bind_param(instant, _DIALECT)
    back = Instant().process_result_value(kept, _DIALECT)
    assert back == instant
    assert back.tzinfo is UTC


@given(_INSTANTS, _INSTANTS)
def test_what_is_kept_sorts_as_the_instants_do(one, other):
    kept = [Instant().process_bind_param(instant, _DIALECT) for instant in (one, other)]
    assert (kept[0] < kept[1]) == (one < other)


def test_none_stays_none():
    assert Instant().process_bind_param(None, _DIALECT) is None
    assert Instant().process_result_value(None, _DIALECT) is None


def test_a_time_without_a_zone_is_refused():
    with pytest.raises(TypeError):
        Instant().process_bind_param(datetime(2026, 1, 1), _DIALECT)  # noqa: DTZ001 (the point)
