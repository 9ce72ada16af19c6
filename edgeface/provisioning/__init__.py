"""Many nodes from one table: what each needs to run, and what the broker needs to keep them apart.

`table` reads the rows, `rendering` makes a node's files of one, `access` the broker's lists, `authority` certificates
(by OpenSSL), `state` is what is remembered, and `fleet` the folder in which a further run changes only what it must.
"""

from __future__ import annotations

from edgeface.provisioning.fleet import Orders, Report, provision

__all__ = ["Orders", "Report", "provision"]
