"""`impatient.py SECONDS run …`: the scans' command line with less patience for a page."""

import sys
from functools import partial

from bridge.scans import cli
from bridge.scans.cutter import Cutter
from bridge.scans.inbox import run

vars(run)["Cutter"] = partial(Cutter, patience=float(sys.argv[1]))
sys.exit(cli.main(sys.argv[2:]))
