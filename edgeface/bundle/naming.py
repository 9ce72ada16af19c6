"""Whether a bundle has what a configuration names: a name that nothing has would do nothing without a word."""

from __future__ import annotations

from collections.abc import Sequence

from edgeface.bundle.heads import CascadeHead
from edgeface.bundle.manifest import FileRuntime, Network
from edgeface.bundle.opening import Bundle, attribute_networks, choose_file, choose_runtime, chosen_detector
from edgeface.config import Config
from edgeface.errors import BundleError


def expect_names(bundle: Bundle, config: Config) -> None:
    """Raise BundleError for a network, or a file of one, that the configuration names and the bundle has not.

    Networks that are named but not in use are looked at too.
    """
    networks = bundle.manifest.networks
    every = [network.name for network in networks]
    detectors = [network.name for network in networks if network.task == "detect"]
    scheduled = [network.name for network in networks if network.answers]
    if config.detector.network:
        _expect(bundle, "detector.network", config.detector.network, detectors, "finds no faces")
    for task, name in config.attributes.items():
        if name is not False and name not in every:
            answering = [network.name for network in networks if task in network.answers]
            _expect(bundle, f"attributes.{task}", name, answering, "")
    for name in config.schedule:
        _expect(bundle, f"schedule.{name}", name, scheduled, "answers no question about a face")
    for name in config.networks:
        _expect(bundle, f"networks.{name}", name, every, "")
    _expect_files(bundle, config)


def _expect(bundle: Bundle, key: str, name: str, fitting: Sequence[str], otherwise: str) -> None:
    if name in fitting:
        return
    known = any(network.name == name for network in bundle.manifest.networks)
    what = f"network {name} {otherwise}" if known else f"bundle {bundle.manifest.name} has no network {name!r}"
    raise BundleError(f"{key}: {what}", fix=f"choose one of: {', '.join(fitting)}")


def _expect_files(bundle: Bundle, config: Config) -> None:
    """A file in the runtime and precision that are asked for, of every network that is named or in use."""
    detector = chosen_detector(bundle, config)
    used = [detector, *bundle.stages(detector), *attribute_networks(bundle, config)]
    for network in [*used, *(bundle.network(name) for name in config.networks)]:
        choice = config.networks.get(network.name)
        runtime = (choice and choice.runtime) or choose_runtime(
            bundle.manifest, config.runtime.name, provider=config.runtime.provider
        )
        choose_file(network, _runner(network, runtime), choice.precision if choice else None)


def _runner(network: Network, runtime: FileRuntime) -> FileRuntime:
    return "opencv" if isinstance(network.head, CascadeHead) else runtime
