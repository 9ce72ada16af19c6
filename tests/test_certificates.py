"""When certificates end, read from their own bytes."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path

import pytest
import trustme
from cryptography import x509
from hypothesis import given
from hypothesis import strategies as st

from edgeface.publish.certificates import file_end, not_after

YEARS = [1999, 2027, 2049, 2050, 2199]


def certificate(year: int) -> trustme.Blob:
    end = datetime(year, 12, 31, 23, 59, 58)
    return trustme.CA().issue_cert("edgeface.test", not_after=end, not_before=datetime(1990, 1, 1)).cert_chain_pems[0]


@pytest.mark.parametrize("year", YEARS)
def test_the_end_is_what_another_reader_says(tmp_path: Path, year: int) -> None:
    blob = certificate(year)
    path = tmp_path / "own.pem"
    path.write_bytes(b"a word before\n" + blob.bytes())
    theirs = x509.load_pem_x509_certificate(blob.bytes()).not_valid_after_utc
    assert file_end(path) == theirs == datetime(year, 12, 31, 23, 59, 58, tzinfo=timezone.utc)


@given(st.binary(max_size=200))
def test_rubbish_is_no_certificate(data: bytes) -> None:
    with pytest.raises(ValueError):
        not_after(data)


def test_a_file_without_one(tmp_path: Path) -> None:
    (tmp_path / "key.pem").write_text("-----BEGIN PRIVATE KEY-----\n")
    assert file_end(tmp_path / "key.pem") is None
    assert file_end(tmp_path / "none.pem") is None
    (tmp_path / "cut.pem").write_bytes(certificate(2030).bytes()[:200])
    assert file_end(tmp_path / "cut.pem") is None
