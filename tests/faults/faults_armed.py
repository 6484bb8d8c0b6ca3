"""Loaded by the zygote beside what children need: their crash points are in place before any fork."""

import functools

from faults_points import POINTS

from sftpd.process import forked


def _arm_children() -> None:
    POINTS.arm("zygote")
    detach = forked._detach

    @functools.wraps(detach)
    def named(kind: str, fds: tuple[int, ...], zygote: int) -> None:
        POINTS.role = kind
        detach(kind, fds, zygote)

    forked._detach = named


_arm_children()
