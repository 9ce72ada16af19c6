"""``pack``: a bundle as one archive that ``edgeface models install`` takes; the same bytes wherever it is packed."""

from __future__ import annotations

import io
import tarfile

from edgeface.bundle import MANIFEST, Bundle


def pack(bundle: Bundle) -> bytes:
    """Bytes of the archive.

    Raises
    ------
    BundleError : a file is not the one of the manifest
    """
    members = {MANIFEST: (bundle.folder / MANIFEST).read_bytes()}
    for network in bundle.manifest.networks:
        test = network.selftest
        members[test.path] = bundle.read(test.path, size=test.bytes, sha256=test.sha256)
        for file in (file for files in network.files.values() for file in files):
            members[file.path] = bundle.read(file.path, size=file.bytes, sha256=file.sha256)
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, data in sorted(members.items()):
            member = tarfile.TarInfo(f"{bundle.manifest.name}/{name}")
            member.size, member.mode = len(data), 0o644
            tar.addfile(member, io.BytesIO(data))
    return buffer.getvalue()
