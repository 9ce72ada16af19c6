"""Networks loaded and tried, on the provider that was found, or on the processor."""

from __future__ import annotations

import logging

from edgeface.bundle import Bundle
from edgeface.config import Config
from edgeface.engine.networks import Networks
from edgeface.errors import EdgefaceError
from edgeface.proof import Accelerated
from edgeface.runtime.providers import Provider

logger = logging.getLogger(__name__)

ON_PROCESSOR = Accelerated()
USUAL_WH = (1280, 720)
"""A camera's picture; whether the detector has a size for it is asked before there is one."""


def load_accelerated(config: Config, bundle: Bundle, wanted: Accelerated) -> tuple[Networks, Accelerated]:
    """Load on the provider that was found, on the processor where it fails here all the same; what it came to."""
    try:
        return load_networks(config, bundle, provider=wanted.provider), wanted
    except EdgefaceError as error:
        if not wanted.provider.execution:
            raise
        logger.warning("the networks run on the processor: %s", error)
        return load_networks(config, bundle), Accelerated(reasons=(*wanted.reasons, str(error)))


def load_networks(config: Config, bundle: Bundle, *, provider: Provider = ON_PROCESSOR.provider) -> Networks:
    """Load and try every network, and see whether the detector has a size.

    Raises
    ------
    BundleError, ConfigError, RuntimeMissingError : as the errors say
    ProviderError : the provider does not load
    """
    networks = Networks(bundle, config, provider=provider)
    networks.detector.size_for(USUAL_WH)
    networks.verify(bundle)
    return networks
