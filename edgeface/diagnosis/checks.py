"""All checks in the order in which they are told; another one is a function and a line here."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import msgspec

from edgeface.diagnosis import broker, camera, hardware, libraries, providers, secrets, service, tuning
from edgeface.diagnosis.finding import Finding, bad, skipped
from edgeface.diagnosis.node import Node
from edgeface.errors import EdgefaceError, named_line, one_line

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One check.

    Attributes
    ----------
    name : what the findings go by
    look : finds; an EdgefaceError is a finding, any other is a mistake of ours and told as one
    needs_config : whether it is nothing without a configuration
    """

    name: str
    look: Callable[[Node], Iterable[Finding]]
    needs_config: bool = True


CHECKS = (
    Check(name="configuration", look=service.configuration, needs_config=False),
    Check(name="libraries", look=libraries.numpy_and_opencv, needs_config=False),
    Check(name="runtimes", look=libraries.runtimes, needs_config=False),
    Check(name="bundle", look=service.bundle),
    Check(name="providers", look=providers.providers),
    Check(name="tuning", look=tuning.tuning),
    Check(name="camera", look=camera.cameras),
    Check(name="power", look=hardware.power_and_heat, needs_config=False),
    Check(name="clock", look=hardware.clock, needs_config=False),
    Check(name="memory", look=hardware.memory, needs_config=False),
    Check(name="disk", look=hardware.disk, needs_config=False),
    Check(name="broker", look=broker.connection),
    Check(name="rights", look=broker.rights),
    Check(name="certificates", look=broker.certificates),
    Check(name="secrets", look=secrets.secrets, needs_config=False),
    Check(name="unit", look=service.unit, needs_config=False),
    Check(name="daemon", look=service.daemon),
    Check(name="spool", look=service.spool),
)


def examine(node: Node, checks: Iterable[Check] = CHECKS) -> Iterator[Finding]:
    """Run the checks one after the other; none can keep another from being made."""
    for check in checks:
        for finding in _found(check, node):
            fix = None if finding.fix is None else one_line(finding.fix)
            yield msgspec.structs.replace(finding, check=check.name, what=one_line(finding.what), fix=fix)


def _found(check: Check, node: Node) -> Iterator[Finding]:
    if check.needs_config and not node.readable:
        yield skipped("not looked at without a configuration")
        return
    try:
        yield from check.look(node)
    except EdgefaceError as error:
        yield bad(error.what, fix=error.fix)
    except Exception as error:  # whatever is wrong with the node, the other checks are made
        logger.debug("check %s", check.name, exc_info=True)
        yield bad(f"the check failed: {named_line(error)}", fix="please report this")
