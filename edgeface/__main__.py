"""``edgeface`` and ``python -m edgeface``: an interrupt is quiet from here on.

Until a command runs, which has its own way to end, an interrupt ends the program as it does one that is not written
in Python: Python's own handler would show where among the imports it came. `_signal` and not `signal`: the latter takes
milliseconds to make its names.
"""

import _signal  # type: ignore[import-not-found]

if _signal.getsignal(_signal.SIGINT) is _signal.default_int_handler:
    _signal.signal(_signal.SIGINT, _signal.SIG_DFL)

import sys

from edgeface.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
