"""`python -m bridge.scans`: the command, also where nothing is installed."""

import sys

from bridge.scans.cli import main

sys.exit(main())
