"""`sftpd serve`: the daemon in the foreground, as systemd and `make run` start it."""

import gc
import os
from pathlib import Path
from typing import Annotated

import typer

from sftpd import __version__, logs
from sftpd.app.daemon import Daemon
from sftpd.app.instance import Instance
from sftpd.cli.common import DEFAULT_CONFIG, ConfigOption
from sftpd.clock import SystemClock
from sftpd.config.load import load
from sftpd.process import heap
from sftpd.service.notify import ServiceManager


def serve(
    config: ConfigOption = DEFAULT_CONFIG,
    announce: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A text to print once the daemon serves.")
    ] = None,
) -> None:
    """Run the daemon until SIGTERM or Ctrl-C; SIGHUP reloads the configuration."""
    heap.keep_compact()
    gc.freeze()  # what is loaded stays; to go through it time and again would hold up every thread
    loaded = load(config)
    logs.configure(loaded.instance.log.level, loaded.instance.log.format)

    def greet(daemon: Daemon) -> None:
        addresses = ", ".join(daemon.addresses)
        print(f"sftpd {__version__} serves {loaded.instance.about.name} on {addresses}", flush=True)
        if announce is not None:
            print(announce.read_text(), flush=True)

    with Instance(loaded, SystemClock()) as instance:
        Daemon(instance, config, ServiceManager(os.environ)).run(greet)
