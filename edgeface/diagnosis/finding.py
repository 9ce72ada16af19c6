"""The one result of every check."""

from __future__ import annotations

from typing import Literal

import msgspec

State = Literal["good", "skipped", "warning", "bad"]


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """What a check has found.

    Attributes
    ----------
    check : its name
    state : ``good``; ``skipped``, it could not be asked and is no mistake; ``warning``, it works and should be looked
        at; ``bad``, edgeface does not work because of it
    what : in one line
    fix : what to do, in one line; set where something is wrong
    """

    check: str
    state: State
    what: str
    fix: str | None = None

    @property
    def line(self) -> str:
        """What was found and what to do."""
        return self.what if self.fix is None else f"{self.what}; {self.fix}"


def good(what: str) -> Finding:
    """All is well; the check's name is put in by who runs it."""
    return Finding(check="", state="good", what=what)


def skipped(what: str) -> Finding:
    """It could not be asked here."""
    return Finding(check="", state="skipped", what=what)


def warning(what: str, *, fix: str) -> Finding:
    """It works, and should be looked at."""
    return Finding(check="", state="warning", what=what, fix=fix)


def bad(what: str, *, fix: str) -> Finding:
    """It does not work."""
    return Finding(check="", state="bad", what=what, fix=fix)
