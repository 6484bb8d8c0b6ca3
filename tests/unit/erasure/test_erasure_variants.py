"""What people write for a name, an address or a number: certain, possible, or somebody else."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sftpd.erasure.finder import Why
from sftpd.erasure.identifiers import fold, parse_identifier, possible
from sftpd.erasure.spelling import is_one_error, plain, spelled, spelled_around, traces_of

JAN = "name=Jan de Vries"
JAN_PIETER = "name=Jan Pieter van der Berg"
ANNA = "name=Anna Jansen-de Vries"
CERTAIN = "certain"


def told(raw: str, text: str) -> str | None:
    """What a text is to an identifier: certain, a Why, or None for somebody else."""
    identifier = parse_identifier(raw)
    if identifier.matches(text):
        assert identifier.may_be_in(fold(text))
        return CERTAIN
    forms = [form for form in possible(identifier) if form.matches(text)]
    assert all(form.may_be_in(fold(text)) for form in forms)
    return forms[0].kind if forms else None


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (JAN, "JAN DE VRÍES"),
        (JAN, "Beste Jan  de\nVries, hierbij"),
        (JAN, "Vries, Jan de"),
        (JAN, "de Vries, Jan"),
        (JAN, "de Vries Jan"),
        (JAN, "Vries de, Jan"),
        (JAN, "klant: de Vries, Jan; tel 06"),
        (JAN, "jan_de_vries_2026.pdf"),
        ("name=Vries, Jan de", "Jan de Vries"),
        (JAN_PIETER, "Jan-Pieter van der Berg"),
        (JAN_PIETER, "van der Berg, Jan Pieter"),
        (ANNA, "Jansen-de Vries, Anna"),
        (ANNA, "Anna Jansen de Vries"),
        ("name=Björn O'Brien", "BJÖRN O’BRIEN"),
        ("name=Björn O'Brien", "Bjørn Obrien"),
        ("name=Gijs van 't Hof", "Gijs van het Hof"),
        ("name=Gijs van 't Hof", "Hof, Gijs van ’t"),
        ("name=Dr. Anne-Marie Dijkstra", "dr Anne Marie Dijkstra"),
        ("name=Anne Dijkstra", "Anne Dĳkstra"),
        ("name=Anne Dijkstra", "Anne Dÿkstra"),
        ("name=Karl Weiß", "Weiss, Karl"),
        ("name=Ærø Müller", "AERO MULLER"),
    ],
)
def test_what_differs_in_folding_and_order_alone_is_certain(raw: str, text: str) -> None:
    assert told(raw, text) == CERTAIN


@pytest.mark.parametrize(
    ("raw", "text", "why"),
    [
        (JAN, "J. de Vries", Why.INITIALS),
        (JAN, "J.P. de Vries", Why.INITIALS),
        (JAN, "JP de Vries", Why.INITIALS),
        (JAN, "Vries, J. de", Why.INITIALS),
        (JAN, "de Vries J", Why.INITIALS),
        (JAN, "mevrouw J. de\nVries", Why.INITIALS),
        (JAN, "Jan P. de Vries", Why.INITIALS),
        (JAN, "Jan Pieter de Vries", Why.MIDDLE),
        (JAN, "Jan Vries", Why.PREFIX),
        (JAN, "Jan v.d. Vries", Why.PREFIX),
        (JAN, "Jan de Vreis", Why.SPELLING),
        (JAN, "Jan de Vris", Why.SPELLING),
        (JAN, "Vriies, Jan de", Why.SPELLING),
        (JAN, "JanDeVries.pdf", Why.SPELLING),
        (JAN, "Jan de Vries-Bakker", Why.SURNAME),
        (JAN, "J. Bakker-de Vries", Why.SURNAME),
        (JAN, "Piet-Jan de Vries", Why.COMPOUND),
        (JAN, "Piet de Vries, Jan Bakker", Why.ORDER),
        (JAN_PIETER, "J.P. v.d. Berg", Why.INITIALS),
        (JAN_PIETER, "Berg, J.P. van der", Why.INITIALS),
        (JAN_PIETER, "Jan Pieter v/d Berg", Why.PREFIX),
        (JAN_PIETER, "Jan Pieter vd Berg", Why.PREFIX),
        (JAN_PIETER, "Jan Pieter van den Berg", Why.PREFIX),
        (JAN_PIETER, "Jan Pieter vanderBerg", Why.SPELLING),
        (JAN_PIETER, "Jan van der Berg", Why.MIDDLE),
        (JAN_PIETER, "Pieter van der Berg", Why.MIDDLE),
        (JAN_PIETER, "Pieter Jan van der Berg", Why.ORDER),
        (ANNA, "Anna Jansen", Why.SURNAME),
        (ANNA, "A. de Vries", Why.SURNAME),
        (ANNA, "Anna de Vries-Jansen", Why.SURNAME),
        ("name=Björn O'Brien", "Bjorn O Brien", Why.SPELLING),
        ("name=Björn O'Brien", "O'Brien, B.", Why.INITIALS),
        ("name=Anne Dijkstra", "Anne Dykstra", Why.SPELLING),
        ("name=Anne-Marie Dijkstra", "Annemarie Dijkstra", Why.SPELLING),
        ("name=Dr. Anne Dijkstra", "Anne Dijkstra", Why.TITLE),
        ("name=IJsbrand de Wit", "IJ. de Wit", Why.INITIALS),
        ("name=Theo de Wit", "Th. de Wit", Why.INITIALS),
        ("email=jan@example.nl", "Jan+nieuws@example.nl", Why.ADDRESS),
        ("email=jan+x@example.nl", "jan@example.nl", Why.ADDRESS),
        ("email=jan.vries@gmail.com", "janvries+x@googlemail.com", Why.ADDRESS),
        ("phone=0612345678", "612345678", Why.NUMBER),
        ("phone=0612345678", "06–12 34 56 78", Why.NUMBER),
        ("phone=+447911123456", "(07911) 123456", Why.NUMBER),
    ],
)
def test_what_is_shortened_or_misspelt_is_possible_and_says_why(raw: str, text: str, why: Why) -> None:
    assert told(raw, text) == why


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (JAN, "Piet de Vries"),
        (JAN, "P. de Vries"),
        (JAN, "A.J. de Vries"),
        (JAN, "Jan de Wit"),
        (JAN, "Jan en Piet de Vries"),
        (JAN, "Jan de Vreiss"),
        (JAN, "Jan2 de Vries"),
        (JAN_PIETER, "J.K. van der Berg"),
        (JAN_PIETER, "Kees van der Berg"),
        (ANNA, "Anna Pietersen"),
        ("email=jan@example.nl", "xjan+a@example.nl"),
        ("email=jan@example.nl", "jan+a@example.nl.com"),
        ("email=jan.vries@example.nl", "janvries@example.nl"),
        ("phone=0612345678", "0612345679"),
        ("phone=0612345678", "+32612345678"),
        ("phone=0612345678", "1612345678"),
    ],
)
def test_namesakes_are_somebody_else(raw: str, text: str) -> None:
    assert told(raw, text) is None


@given(st.text(st.sampled_from("abcdij yz"), min_size=5, max_size=9), st.data())
def test_a_word_with_one_error_is_near_and_leaves_a_trace(word: str, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(word) - 2))
    letter = data.draw(st.sampled_from("abcxyz"))
    for wrong in (
        word[:at] + letter + word[at:],
        word[:at] + word[at + 1 :],
        word[:at] + letter + word[at + 1 :],
        word[:at] + word[at + 1] + word[at] + word[at + 2 :],
    ):
        assert wrong == word or is_one_error(word, wrong)
        assert any(trace in wrong for trace in traces_of(word))


@pytest.mark.parametrize(("one", "other"), [("vries", "vriesma"), ("vries", "vreisa"), ("vries", "vries")])
def test_two_errors_or_none_are_not_one(one: str, other: str) -> None:
    assert not is_one_error(one, other)


def test_texts_are_spelled_word_by_word() -> None:
    assert spelled(plain("j.p. v/d berg-smit, é 'x' m.")) == "| j. p. v d berg - smit , e | x | m | |"
    around = list(spelled_around("a vries " + "x " * 2000 + "vries b", ["vries"]))
    assert (len(around), around[0][:11]) == (2, "| a vries x")
    assert len("".join(spelled_around("x " * 5000 + "vries", ["vries"]))) < 1000


@settings(max_examples=40)
@given(
    st.lists(
        st.sampled_from(["jan", "de", "vries", "vreis", "j", ".", ",", "-", " ", "\n", "é", "'"]), max_size=40
    )
)
def test_no_text_is_too_odd_and_the_hint_never_misses(pieces: list[str]) -> None:
    told(JAN, "".join(pieces))
    told("name=" + ("".join(pieces)[:200] + "x y"), "".join(pieces))
