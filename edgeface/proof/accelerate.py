"""On what a configuration's networks really compute: tried in a child, provider by provider, the processor last.

A provider may hang, end its process, or compute wrongly: so a child loads every network on it, compares the answers
with the stored ones, and has a deadline. What TensorRT needs minutes for, its engines, is built while the node works
with what comes after it in the order; the start does not wait.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path

import msgspec
from msgspec import Struct

from edgeface import board
from edgeface.bundle import (
    Bundle,
    Network,
    NetworkFile,
    attribute_networks,
    choose_file,
    choose_runtime,
    chosen_detector,
)
from edgeface.config import Config
from edgeface.errors import EdgefaceError
from edgeface.files import write_atomic
from edgeface.proof.proven import fingerprint, kept_folder, of_networks
from edgeface.proof.running import START_S, prove
from edgeface.proof.steps import provider_step
from edgeface.runtime import library
from edgeface.runtime.child import run_python, why_in_words
from edgeface.runtime.providers import ENGINES, ON_PROCESSOR, Provider, candidates, engine_name, longest_side

LOAD_S = 120.0
"""For a provider whose engines are there: CUDA compiles for a GPU newer than itself at its first start."""
BUILD_S = 1800.0
"""For TensorRT's engines: on an Orin nine and a half minutes were measured for one large network
(roboflow/inference 2703)."""
MOST_TRIES = 2
"""Builds that end without a word, as where memory does not suffice, before they are given up on this system."""
ABSENT = """
import json
from edgeface.runtime import library
library.settle(library.Origin(**json.loads(sys.argv[1])))
from edgeface.runtime.onnx import missing_library
print(json.dumps(missing_library(sys.argv[2:])))
"""

Try = Callable[[Bundle, Config, Provider, float], str | None]
"""Runs a configuration's networks on a provider for so many seconds at most; why it cannot, in one line."""


class Accelerated(Struct, frozen=True, kw_only=True):
    """What was found.

    Attributes
    ----------
    provider : what the networks compute on
    pending : TensorRT, whose engines are not built yet; None: nothing is to be built
    reasons : one line for each provider that was asked for or listed, and does not compute
    """

    provider: Provider = ON_PROCESSOR
    pending: Provider | None = None
    reasons: tuple[str, ...] = ()


def accelerate(
    bundle: Bundle,
    config: Config,
    environ: Mapping[str, str],
    *,
    extend: Callable[[float], object] = lambda _: None,
    attempt: Try | None = None,
) -> Accelerated:
    """Find the first provider of `runtime.provider` that computes here.

    Parameters
    ----------
    extend : is told before each try how many seconds it may take
    attempt : tries a provider; `try_provider` where none is given
    """
    choice = config.runtime.provider
    if choice == "cpu" or not uses_onnx(bundle, config):
        return Accelerated()
    from edgeface.runtime import onnx

    engines = engines_folder(environ)
    longest = longest_side(config.detector.size)
    found = candidates(choice, onnx.listed(), engines=str(engines or ""), longest=longest)
    why = library.origin().why
    reasons = [] if why is None else [why]
    if not found and choice != "auto":
        reasons.append(f"{choice} is not part of this ONNX Runtime {onnx.version()} ({library.origin().words})")
    pending = None
    for provider in found:
        extend(LOAD_S + START_S)
        if (absent := absent_library(provider)) is not None:
            reasons.append(f"{provider.name} does not load: {absent}")
        elif provider.name == "tensorrt" and engines is None:
            reasons.append("tensorrt is not used: there is no state directory for its engines")
        elif provider.engines and not _stamp(bundle, config, provider).is_file():
            if _tries(bundle, config, provider) < MOST_TRIES:
                pending = provider
            else:
                reasons.append(f"tensorrt is not used: its engines could not be built; to try again, delete {engines}")
        elif (failed := (attempt or try_provider)(bundle, config, provider, LOAD_S)) is None:
            return Accelerated(provider=provider, pending=pending, reasons=tuple(reasons))
        else:
            reasons.append(failed)
    return Accelerated(pending=pending, reasons=tuple(reasons))


def uses_onnx(bundle: Bundle, config: Config) -> bool:
    """Whether ONNX Runtime runs any network of a configuration."""
    runtime = choose_runtime(bundle.manifest, config.runtime.name, provider=config.runtime.provider)
    return "onnx" in {runtime, *(choice.runtime for choice in config.networks.values())}


def absent_library(provider: Provider) -> str | None:
    """Which library of CUDA, cuDNN or TensorRT the loader misses; asked in a child, where they stay."""
    origin = json.dumps(msgspec.to_builtins(library.origin()))
    said, failure = run_python(ABSENT, origin, *provider.execution)
    if failure is not None:
        return why_in_words(failure)
    absent: str | None = json.loads(said)
    return absent


def try_provider(bundle: Bundle, config: Config, provider: Provider, seconds: float) -> str | None:
    """Run the whole chain on a provider in a child, every stored answer compared; why it cannot, in one line."""
    for outcome in prove(bundle, [provider_step(of_networks(config), provider, seconds=seconds)]):
        if outcome.result != "ok":
            return f"{provider.name} is not used: {outcome.detail}"
    return None


def build(
    bundle: Bundle, config: Config, provider: Provider, *, seconds: float = BUILD_S, attempt: Try = try_provider
) -> str | None:
    """Have TensorRT build its engines, which takes minutes; why it did not, in one line.

    What was built for another GPU, driver, version, network or size is deleted once the new engines are there.
    """
    stamp = _stamp(bundle, config, provider)
    tries = _tries(bundle, config, provider) + 1
    try:
        # Before the work: a build that takes the service down with it must not begin with every start.
        write_atomic(stamp.with_suffix(".tries"), str(tries).encode(), durable=True)
        failed = attempt(bundle, config, provider, seconds)
        if failed is None:
            write_atomic(stamp, b"", durable=True)
    except EdgefaceError as error:
        return f"{provider.name} is not used: {error}"
    if failed is None:
        stamp.with_suffix(".tries").unlink(missing_ok=True)
        _sweep(bundle, config, provider)
    return failed


def engines_folder(environ: Mapping[str, str], root: Path = board.ROOT) -> Path | None:
    """Folder of the engines of this GPU with these versions; None where there is no state folder."""
    from edgeface.runtime import onnx

    folder = kept_folder(environ)
    if folder is None:
        return None
    words = f"{board.gpu(root) or 'unknown'} onnxruntime {onnx.version()} tensorrt {board.tensorrt(root) or 'unknown'}"
    return folder / ENGINES / re.sub(r"[^A-Za-z0-9.]+", "-", words).strip("-")


def _stamp(bundle: Bundle, config: Config, provider: Provider) -> Path:
    """File that says that every engine of a configuration is there."""
    return Path(provider.engines) / f"{fingerprint(bundle, config)[:16]}.built"


def _tries(bundle: Bundle, config: Config, provider: Provider) -> int:
    with suppress(OSError, ValueError):
        return int(_stamp(bundle, config, provider).with_suffix(".tries").read_text(encoding="ascii"))
    return 0


def _sweep(bundle: Bundle, config: Config, provider: Provider) -> None:
    here = Path(provider.engines)
    used = {engine_name(network, file, provider.longest) for network, file in _files(bundle, config)}
    for path in [*here.parent.iterdir(), *here.iterdir()]:
        if path.is_dir() and path != here and path.name not in used:
            shutil.rmtree(path, ignore_errors=True)


def _files(bundle: Bundle, config: Config) -> Iterator[tuple[Network, NetworkFile]]:
    """Networks of a configuration, each with the file that is computed on a GPU."""
    detector = chosen_detector(bundle, config)
    for network in (detector, *bundle.stages(detector), *attribute_networks(bundle, config)):
        if network.files.get("onnx"):
            choice = config.networks.get(network.name)
            yield network, choose_file(network, "onnx", choice.precision if choice else None, floats=True)
