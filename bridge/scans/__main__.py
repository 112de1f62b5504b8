import sys

from bridge.scans.cli import main

sys.exit(main())
