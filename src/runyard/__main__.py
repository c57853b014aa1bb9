"""Lets `python -m runyard` be the same program as `runyard`."""

import sys

from runyard.cli import main

if __name__ == "__main__":
    sys.exit(main())
