"""Small uploads that are complete at the same time in several sessions: one commit serves them all."""

from collections.abc import Sequence
from functools import partial

from sftpd.exchange.due import TOGETHER_SIZE
from sftpd.exchange.partner import Upload, complete_together
from sftpd.exchange.receive import Answer, Rest
from sftpd.process.handling import Asked, Result, Together
from sftpd.process.messages import Message
from sftpd.ssh.messages import Complete
from sftpd.ssh.monitor import SessionGuard


def together(message: Message) -> Together | None:
    """How a message of a session may be handled with those of others; None: by itself.

    What is large, or is to be hashed first, would keep the others waiting.
    """
    quick = isinstance(message, Complete) and message.sha256 is not None and message.size <= TOGETHER_SIZE
    return _complete if quick else None


def _complete(asked: Sequence[Asked]) -> list[Result]:
    results: list[Result | None] = []
    uploads: list[Upload] = []
    for guard, message in asked:
        assert isinstance(guard, SessionGuard)
        assert isinstance(message, Complete)
        try:
            uploads.append(guard.upload(message))
            results.append(None)
        except Exception as refusal:
            results.append(refusal)
    answers = iter(complete_together(uploads))
    return [
        result if result is not None else _result(one, next(answers))
        for one, result in zip(asked, results, strict=True)
    ]


def _result(asked: Asked, answer: Answer | Exception | Rest) -> Result:
    guard, message = asked
    assert isinstance(guard, SessionGuard)
    assert isinstance(message, Complete)
    if callable(answer):
        return partial(guard.conclude, message, answer)
    try:
        return guard.conclude(message, answer)
    except Exception as refusal:
        return refusal
