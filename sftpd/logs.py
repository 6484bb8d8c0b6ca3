"""The operators' log: one line an event on standard error, for people or as JSON."""

import logging
import os
import sys
from collections.abc import Sequence

import structlog

VARIABLE = "SFTPD_LOG"
"""The environment variable by which the monitor's choice reaches its children: `LEVEL:FORMAT`."""

_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


def configure(level: str, form: str) -> None:
    """Log events of `level` (debug, info, warning, error) and above, as `form` (console, json) says.

    Processes started from now on do the same when they call `inherit`.
    """
    os.environ[VARIABLE] = f"{level}:{form}"
    renderer: structlog.typing.Processor
    if form == "json":
        renderer = structlog.processors.JSONRenderer()
    else:
        renderer = structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    processors: list[structlog.typing.Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    structlog.configure(
        processors=[*processors, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
    )
    _adopt_libraries(processors, renderer)


def inherit() -> None:
    """Log as the process that started this one."""
    level, _, form = os.environ.get(VARIABLE, "info:console").partition(":")
    configure(level, form)


def _adopt_libraries(
    processors: Sequence[structlog.typing.Processor], renderer: structlog.typing.Processor
) -> None:
    """Have what libraries log through the standard module look the same.

    What they have to say beyond errors is noise here. Paramiko reports every broken connection as an error
    of its own, which sessions report themselves, and watchdog each watch that ends while reports come.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=processors,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    logging.basicConfig(level=logging.ERROR, handlers=[handler], force=True)
    for library in ("paramiko", "watchdog"):
        logging.getLogger(library).setLevel(logging.CRITICAL)
