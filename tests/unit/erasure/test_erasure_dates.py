"""Dates as people write them, against a list of every form, looked up letter by letter."""

from datetime import date, timedelta
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sftpd.erasure.dates import hint_of, keys_of, pattern_of, taken_from
from sftpd.erasure.entries import entries_in

NAMES = {
    1: ("jan", "januari", "january"),
    2: ("feb", "febr", "februari", "february"),
    3: ("mrt", "maart", "mar", "march"),
    4: ("apr", "april"),
    5: ("mei", "may"),
    6: ("jun", "juni", "june"),
    7: ("jul", "juli", "july"),
    8: ("aug", "augustus", "august"),
    9: ("sep", "sept", "september"),
    10: ("okt", "oct", "oktober", "october"),
    11: ("nov", "november"),
    12: ("dec", "december"),
}
BARS = ("-", "/", ".", "\u2013")
WIDE = (*BARS, " ", " - ", "- ", " /")
DAYS = st.dates(date(1850, 1, 1), date(2099, 12, 31))
CONTEXT = st.text(st.sampled_from("x9 -/.,;:'\n("), max_size=5)


def ways(number: int) -> list[str]:
    return sorted({str(number), f"{number:02}"})


def in_digits(day: date) -> set[str]:
    """The forms with a bar or space between three numbers."""
    year, short = str(day.year), f"{day.year % 100:02}"
    days, months = ways(day.day), ways(day.month)
    made = {f"{year}{a}{m}{b}{d}" for m, d, a, b in product(months, days, WIDE, WIDE)}
    made |= {f"{d}{a}{m}{b}{year}" for m, d, a, b in product(months, days, WIDE, WIDE)}
    made |= {f"{d}{a}{m}{b}{q}{short}" for m, d, a, b, q in product(months, days, BARS, BARS, ("", "'"))}
    if day.day > 12:
        bars = [bar for bar in WIDE if bar != " "]
        made |= {f"{m}{a}{d}{b}{year}" for m, d, a, b in product(months, days, bars, bars)}
    return made


def in_words(day: date) -> set[str]:
    """The forms with the name of the month, and those of eight digits."""
    year, short, days = str(day.year), f"{day.year % 100:02}", ways(day.day)
    made = {f"{year}{day.month:02}{day.day:02}", f"{day.day:02}{day.month:02}{year}"}
    for said, name in product(days, NAMES[day.month]):
        for nth, near in product(("", "e", "de", "th"), (" ", "-", "", ". ", " of ")):
            for behind, shown in product((" ", "-", ". ", " '"), (year, short)):
                made.add(f"{said}{nth}{near}{name}{behind}{shown}")
        made |= {
            f"{name}{near}{said}{nth}{behind}{year}"
            for near, nth, behind in product((" ", "-", ". "), ("", "st", "th"), (", ", " ", ","))
        }
    return made


def tells(text: str, day: date) -> bool:
    """Whether one of the forms stands alone in a text: by a slow look at each place of each."""
    return any(
        stands_alone(text, start, start + len(form), barred=barred)
        for barred, forms in ((True, in_digits(day)), (False, in_words(day)))
        for form in forms
        for start in range(len(text) - len(form) + 1)
        if text.startswith(form, start)
    )


def stands_alone(text: str, start: int, end: int, *, barred: bool) -> bool:
    before, after = text[:start], text[end:]
    if before and before[-1].isalnum():
        return False
    time = barred and ((after[:1] == "t" and after[1:2].isdigit()) or after == "z")
    if after and after[0].isalnum() and not time:
        return False
    if not barred:
        return True
    joined = len(before) > 1 and before[-1] in "-/." and before[-2].isdigit()
    return not joined and not (after[:1] in BARS and after[1:2].isdigit())


@given(DAYS, st.data())
def test_every_form_is_found_and_has_its_key(day: date, data: st.DataObject) -> None:
    form = data.draw(st.sampled_from(sorted(in_digits(day) | in_words(day))))
    assert pattern_of(day.isoformat()).fullmatch(form), form
    assert is_found(f"{'x ' * 30}{form}{' x' * 30}", day), form
    text = f"{data.draw(CONTEXT)}{form}{data.draw(CONTEXT)}"
    assert not is_found(text, day) or has_key(text, day), text
    assert has_key(form, day), form


@given(DAYS, st.data())
def test_a_date_is_found_where_one_of_its_forms_stands_alone(day: date, data: st.DataObject) -> None:
    other = day + timedelta(data.draw(st.sampled_from((0, 0, 1, 31, -365, 3653))))
    forms = sorted(in_digits(other) | in_words(other))
    text = "".join((data.draw(CONTEXT), data.draw(st.sampled_from(forms)), data.draw(CONTEXT)))
    assert is_found(text, day) == tells(text, day), text


@given(st.text(st.sampled_from("0157198 -/.,'t"), max_size=16))
def test_what_digits_are_read_as_is_what_stands_there(text: str) -> None:
    for day in (date(1980, 5, 17), date(1951, 1, 8), date(2011, 11, 1), date(1851, 7, 5)):
        found = is_found(text, day)
        assert found == tells(text, day), text
        assert not found or has_key(text, day), text


@given(
    st.lists(
        st.sampled_from(
            (
                *(
                    "1980-05-17",
                    "17-05-1980",
                    "17/5/80",
                    "19800517",
                    "17051980",
                    "17 mei",
                    "mei 17",
                    "may",
                    "80",
                ),
                *(
                    "2024-01-10",
                    " 12:33:10",
                    "T12:33",
                    ".123456",
                    ".19800517",
                    "1980",
                    "17",
                    "5",
                    "05",
                    "3581 cd",
                ),
                *(" ", "-", "/", ".", ", ", "th", ":", "\n", "612345678"),
            )
        ),
        max_size=8,
    ).map("".join)
)
def test_a_date_among_others_numbers_and_times_has_its_key(said: str) -> None:
    day = date(1980, 5, 17)
    assert not is_found(said.lower(), day) or has_key(said.lower(), day), said


def is_found(text: str, day: date) -> bool:
    pattern = pattern_of(day.isoformat())
    found = pattern.search(text) is not None
    assert hint_of(day.isoformat(), pattern)(text) or not found, text
    return found


def has_key(text: str, day: date) -> bool:
    return not entries_in(text).isdisjoint(f"date\0{key}" for key in keys_of(day.isoformat()))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("jan de vries 1980-05-17", "1980-05-17"),
        ("17 mei 1980 jan", "1980-05-17"),
        ("may 17th, 1980 jan", "1980-05-17"),
        ("jan, geb. 05/06/1980", "1980-06-05"),
        ("jan 19800517", "1980-05-17"),
        ("jan 17-05-80", None),
        ("jan 17-05-1980 18-05-1980", None),
        ("jan 31-02-1980", None),
        ("jan 1780-05-17", None),
        ("jan", None),
    ],
)
def test_a_requester_writes_one_date_with_its_whole_year(text: str, told: str | None) -> None:
    taken = taken_from(text)
    assert (taken and taken[0]) == told
    assert taken is None or "jan" in taken[1]


def test_a_file_has_no_more_keys_than_days() -> None:
    days = [date(2020, 1, 1) + timedelta(number % 300) for number in range(5000)]
    entries = entries_in("\n".join(day.strftime("%Y-%m-%d;;;; 12:%M:03 uur") for day in days))
    assert entries == {f"date\0{day}" for day in days}
