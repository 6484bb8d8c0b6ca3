"""The grounds of GDPR 17(3), on which a file stays although the person is in it."""

from enum import StrEnum

_MARK = "exception, GDPR "


class Ground(StrEnum):
    """The grounds of GDPR 17(3), by their letters."""

    EXPRESSION = "17(3)(a)"
    LEGAL_DUTY = "17(3)(b)"
    PUBLIC_HEALTH = "17(3)(c)"
    ARCHIVING = "17(3)(d)"
    LEGAL_CLAIMS = "17(3)(e)"


def mark(ground: Ground, reason: str) -> str:
    """Why an excepted file stays, as its steps and the certificate tell it."""
    return f"{_MARK}{ground}: {reason}"


def ground_of(reason: str | None) -> Ground | None:
    """The ground in the reason of an excepted file; None where it is no exception."""
    if not is_exception(reason):
        return None
    assert reason is not None
    return next(ground for ground in Ground if reason.startswith(f"{_MARK}{ground}: "))


def is_exception(reason: str | None) -> bool:
    """Whether what a certificate gives as the reason of a file that stays is an exception."""
    return reason is not None and reason.startswith(_MARK)
