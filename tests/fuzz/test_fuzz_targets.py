"""Whatever comes is answered well, is a protocol error or ends the connection, within a bound of memory."""

import pytest
from fuzz_oracle import INPUT_LIMIT, Target, checked
from fuzz_targets import TARGETS, inputs
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st


@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)
def test_seeds_and_what_once_failed(target: Target) -> None:
    with checked(target) as check:
        for data in inputs(target):
            check(data)


@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)
def test_any_bytes(target: Target) -> None:
    @settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
    @given(st.binary(max_size=300))
    def attempt(data: bytes) -> None:
        check(data)

    with checked(target) as check:
        attempt()


@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)
def test_damaged_seeds(target: Target) -> None:
    seeds = list(inputs(target))

    @settings(max_examples=100, suppress_health_check=[HealthCheck.too_slow])
    @given(st.lists(st.sampled_from(seeds), min_size=1, max_size=3), st.data())
    def attempt(parts: list[bytes], draw: st.DataObject) -> None:
        damaged = bytearray(b"".join(parts)[:INPUT_LIMIT])
        for _ in range(draw.draw(st.integers(0, 4)) if damaged else 0):
            at = draw.draw(st.integers(0, len(damaged) - 1))
            damaged[at : at + draw.draw(st.integers(0, 4))] = draw.draw(st.binary(max_size=4))
            if not damaged:
                break
        check(bytes(damaged))

    with checked(target) as check:
        attempt()
