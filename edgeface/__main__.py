"""``python -m edgeface`` is ``edgeface``."""

import sys

from edgeface.cli.main import main

sys.exit(main())
