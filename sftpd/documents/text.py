"""Text from outside on its way to people."""


def printable(value: object) -> str:
    """`value` as text in which nothing steers a terminal or turns a line around: names come from outside."""
    text = "" if value is None else str(value)
    if text.isprintable():
        return text
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape", "backslashreplace").decode() for c in text
    )
