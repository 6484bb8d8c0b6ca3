"""What a text says to those who see it unpacked: escapes that are in it whatever its format is.

A column may hold a link, an export of a page, JSON or a number as a program keeps it: what shows that, shows
`jan@example.nl` for `jan%40example.nl`.
"""

import html
import re

_ESCAPE = re.compile(
    r"[%&\\_'](?:(?<=%)[0-9a-f]{2}(?:%[0-9a-f]{2})*+"
    r"|(?<=&)(?:#x?[0-9a-f]{1,7}|[a-z][a-z0-9]{1,31});"
    r"|(?<=\\)(?:u[0-9a-f]{4}(?:\\u[0-9a-f]{4})*+|['/])"
    r"|(?<=_)x[0-9a-f]{4}_"
    r"|(?<=[^\W_]')'(?=[^\W_]))"
)
"""Of links (RFC 3986), HTML, JSON, Office Open XML (ST_Xstring) and SQL."""
_SIGNS = ("%", "&", "\\")
_PAIRS = (re.compile("_x"), re.compile("''"))
"""One of these is in every escape. An expression passes a character alone faster than `in` does."""
_UNSEEN = re.compile(
    "[\u00ad\u034f\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u206f\ufe00-\ufe0f\ufeff\u2010"
    "\u0660-\u0669\u06f0-\u06f9]"
)
"""Characters without a width (Unicode's default ignorable ones), and those that look like one of ASCII."""
_OTHERS = bytes(set(range(256)).difference(b"\xc2\xcd\xd8\xd9\xdb\xe1\xe2\xef"))
"""Bytes that begin none of these in UTF-8: to look for the characters themselves takes five times as long."""
_SEEN = {"\u2010": "-"} | {chr(start + digit): str(digit) for start in (0x660, 0x6F0) for digit in range(10)}
_SOFT_HYPHEN = "\u00ad"
"""The one of them that is in Latin-1."""
_EXPONENT = re.compile(r"e[0-9+]")
"""In every number with an exponent; to say more of it would take longer than it spares."""
_FLOAT = re.compile(r"(?<![\w.])([1-9])(?:[.,]([0-9]{1,17}))?e\+?([0-9]{1,2})(?!\w|\.[0-9])")
"""A number with an exponent, such as 1.11222333E8."""
_ACE = re.compile(r"(?<![^\W_])xn--([a-z0-9-]{1,59})(?![^\W_])")
"""A label of a domain with other letters, as DNS has it (RFC 5890)."""
_ACE_PREFIX = re.compile("xn--")
_LAYERS = 3
"""How deep escapes are in each other, as in a link in a link."""


def revealed(text: str) -> str | None:
    """What a folded text says without its escapes, not folded anew; None where it has none."""
    plain = text
    for _ in range(_LAYERS):
        if not _has_signs(plain) or plain == (less := _ESCAPE.sub(_unescaped, plain)):
            break
        plain = less
    if _has_unseen(plain):
        plain = _UNSEEN.sub(lambda found: _SEEN.get(found[0], ""), plain)
    if _EXPONENT.search(plain):
        plain = _FLOAT.sub(_whole, plain)
    plain = international(plain)
    return None if plain == text else plain


def international(text: str) -> str:
    """A folded text with the letters that its domains stand for."""
    return _ACE.sub(_label, text) if _ACE_PREFIX.search(text) else text


def _has_signs(text: str) -> bool:
    return any(sign in text for sign in _SIGNS) or any(pair.search(text) for pair in _PAIRS)


def _has_unseen(text: str) -> bool:
    """Whether a text may have characters that are not seen; False is certain."""
    raw = quick_bytes(text)
    return _SOFT_HYPHEN in text if len(raw) == len(text) else bool(raw.translate(None, _OTHERS))


def quick_bytes(text: str) -> bytes:
    """A text in Latin-1, which takes a copy; where that is not possible in UTF-8, which is longer.

    For looks that go by the characters of ASCII, which are the same in both.
    """
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")


def _label(found: re.Match[str]) -> str:
    try:
        return found[1].encode().decode("punycode")
    except ValueError:
        return found[0]


def _unescaped(found: re.Match[str]) -> str:
    escape = found[0]
    match escape[0]:
        case "%":
            raw = bytes.fromhex(escape.replace("%", ""))
            try:
                return raw.decode()
            except UnicodeDecodeError:
                return raw.decode("cp1252", "replace")
        case "&":
            return html.unescape(escape)
        case "\\" if escape[1] == "u":
            return bytes.fromhex(escape.replace("\\u", "")).decode("utf-16-be", "replace")
        case "\\":
            return escape[1]
        case "_":
            return chr(int(escape[2:6], 16))
        case _:
            return ""


def _whole(number: re.Match[str]) -> str:
    """A whole number without its exponent; any other as it is."""
    first, fraction, exponent = number.groups("")
    fraction = fraction.rstrip("0")
    return number[0] if len(fraction) > int(exponent) else first + fraction.ljust(int(exponent), "0")
