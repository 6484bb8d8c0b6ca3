"""The command `sftpd` with crash points: python faults_launch.py serve --config FILE."""

import sys

from faults_points import POINTS, VARIABLE

from sftpd.app import instance
from sftpd.cli.main import main
from sftpd.process import pool

if __name__ == "__main__":
    instance.PRELOAD = (*instance.PRELOAD, "faults_armed")
    pool._ENVIRONMENT |= {VARIABLE}
    POINTS.arm("monitor")
    sys.exit(main())
