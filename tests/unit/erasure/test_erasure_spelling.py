"""The plain form of a text, in which names are compared."""

from hypothesis import given
from hypothesis import strategies as st

from sftpd.erasure.spelling import plain

TEXTS = st.text(st.characters(max_codepoint=0xFF) | st.sampled_from("’‑łŁ\u0301\u0308ĳ½µ\n"), max_size=40)


@given(TEXTS)
def test_a_text_is_as_plain_as_its_characters_are(text):
    assert plain(text) == "".join(map(plain, text))
    assert plain(f"{text}\n’") == f"{plain(text)}\n'"


def test_letters_with_marks_and_ligatures_are_plain():
    assert plain("o`brien") == plain("o’brien") == "o'brien"
    assert plain("andré müller, søren ’t æblø, weiß") == "andre muller, soren 't aeblo, weiss"
