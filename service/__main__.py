"""`python -m cutoutd.service` is the same as `cutoutd`."""

import sys

from cutoutd.service.main import main

if __name__ == "__main__":
    sys.exit(main())
