"""Which version of MQTT is tried next, and what the log says of an outage; both pure."""

from __future__ import annotations

import logging

import pytest

from edgeface.publish.outage import OutageLog
from edgeface.publish.reasons import Cause, SessionFailure
from edgeface.publish.timing import Timing
from edgeface.publish.versions import Versions

EARLY: Cause = "closed_early"


def fail(versions: Versions, *causes: Cause) -> list[bool]:
    return [versions.failed(cause) for cause in causes]


def test_two_closes_mean_3_1_1_and_a_broker_that_spoke_5_is_not_doubted() -> None:
    versions = Versions()
    assert fail(versions, EARLY, "away", EARLY, EARLY) == [False, False, False, True]
    assert versions.current == "3.1.1"
    sure = Versions()
    sure.connected()
    assert not any(fail(sure, *[EARLY] * 20))
    assert sure.current == "5"


def test_a_guess_is_made_again_at_each_outage_and_a_word_is_not() -> None:
    guessed, told = Versions(), Versions()
    fail(guessed, "closed_early", "closed_early")
    fail(told, "old_broker")
    for versions in (guessed, told):
        assert versions.current == "3.1.1"
        versions.connected()
        versions.lost()
    assert (guessed.current, told.current) == ("5", "3.1.1")
    assert fail(guessed, "closed_early") == [True], "one close is enough the second time"


def test_where_no_version_is_answered_both_are_tried() -> None:
    versions = Versions()
    tried = []
    for _ in range(14):
        tried.append(versions.current)
        versions.failed("closed_early")
    assert tried.count("5") >= 3
    assert tried.count("3.1.1") >= 8


def test_a_broker_that_knows_only_5_is_found_from_3_1_1() -> None:
    versions = Versions()
    fail(versions, "closed_early", "closed_early")
    assert fail(versions, "old_broker") == [False]
    assert versions.current == "5"


def test_a_connection_that_never_holds_is_counted_and_its_end_told(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "edgeface")
    log = OutageLog("b:1", "hall", Timing())
    for second in range(150):
        log.connected("5", second)
        log.short()
        log.failed(SessionFailure("lost", "gone", blames=True), second + 0.5)
    log.connected("5", 200)
    log.settled()
    lines = caplog.messages
    assert len(lines) < 16
    assert [line for line in lines if "in a row" in line] == [
        f"broker b:1 has ended {count} connections in a row at once; is client id hall used twice?"
        for count in (4, 10, 100)
    ]
    assert lines[-1] == "broker b:1 holds the connection again, after 150 short ones"
