"""Arguments whose complaint is one line. That of edgeface itself cannot be imported here: it needs msgspec."""

from __future__ import annotations

import argparse
from typing import NoReturn


class Parser(argparse.ArgumentParser):
    """An ArgumentParser without the usage before its complaint; exit code 2."""

    def error(self, message: str) -> NoReturn:
        """Print one line and exit with 2."""
        self.exit(2, f"edgeface: {message}; see `{self.prog} --help`\n")
