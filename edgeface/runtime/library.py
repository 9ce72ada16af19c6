"""Which ONNX Runtime is imported: ours, or the system's, where that one has CUDA and ours has not.

A Jetson's comes from its maker, or is built on the board, and no package of ours can carry it. It is looked for where
the system's Python keeps what root installs, and believed when a child has imported it beside *our* numpy and it lists
CUDA. Wheels for JetPack 6 are built for numpy 1, and do not load beside numpy 2 (microsoft/onnxruntime 27562): for its
Python numpy 1 is locked, beside which both kinds load. Then that one package is imported from there, and nothing else
of that folder. Where no such lies, as on nearly every machine, this costs a look at four folders.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType

from msgspec import Struct

from edgeface.runtime.child import run_python, why_in_words

NAME = "onnxruntime"
CUDA = "CUDAExecutionProvider"
VERSION = f"{sys.version_info[0]}.{sys.version_info[1]}"
SYSTEM = (
    Path(f"/usr/local/lib/python{VERSION}/dist-packages"),
    Path("/usr/lib/python3/dist-packages"),
    Path(f"/usr/local/lib/python{VERSION}/site-packages"),
    Path(f"/usr/lib/python{VERSION}/site-packages"),
)
"""Where the system's Python looks, Debian's and its relatives' first: what `sudo pip install` and packages fill."""
CUDA_PART = Path(NAME, "capi", "libonnxruntime_providers_cuda.so")
"""Part of every build with CUDA since 1.8, and of no other: who lacks it needs no child to be asked."""
PROBE = """
import json, pathlib, numpy
from edgeface.runtime.library import import_from
module = import_from(pathlib.Path(sys.argv[1]))
print(json.dumps([module.__version__, module.get_available_providers()]))
"""

Ask = Callable[[Path], tuple[str, str | None]]


class Origin(Struct, frozen=True, kw_only=True):
    """Which ONNX Runtime is used.

    Attributes
    ----------
    folder : folder of the system that it is imported from; None: it is imported as any other package
    version : what the system's says of itself, empty for ours
    why : one line on a system's that was not taken, or None
    """

    folder: str | None = None
    version: str = ""
    why: str | None = None

    @property
    def words(self) -> str:
        """Whose it is."""
        return "edgeface's own" if self.folder is None else f"the system's, in {self.folder}"


def ask_child(folder: Path) -> tuple[str, str | None]:
    """What a child says of the package in a folder, as JSON: version and providers; and why it failed."""
    return run_python(PROBE, str(folder))


def choose(own: Path | None, system: Sequence[Path] = SYSTEM, ask: Ask = ask_child) -> Origin:
    """Decide between our package and the system's.

    Parameters
    ----------
    own : folder in which an ordinary import finds the package; None where it finds none
    system : folders of the system, the first that will do is taken
    ask : tries a package, in a child
    """
    if own is not None and (own / CUDA_PART).is_file():
        return Origin(folder=str(own)) if own in system else Origin()
    why = None
    for folder in system:
        if folder == own or not (folder / CUDA_PART).is_file():
            continue
        said, failure = ask(folder)
        if failure is None:
            version, providers = json.loads(said)
            if CUDA in providers:
                return Origin(folder=str(folder), version=version)
            failure = f"version {version} does not list CUDA"
        why = why or f"the system's onnxruntime in {folder} is not used: {why_in_words(failure)}"
    return Origin(why=why)


class _Settled:
    """What was decided in this process."""

    origin: Origin | None = None


def settle(known: Origin) -> None:
    """Take over what the process has decided that started this one."""
    _Settled.origin = known


def origin() -> Origin:
    """Which ONNX Runtime this process uses; decided once."""
    if _Settled.origin is None:
        _Settled.origin = _decide()
    return _Settled.origin


def _decide() -> Origin:
    if NAME in sys.modules:
        # Somebody has imported it, or barred it.
        return Origin()
    found = importlib.util.find_spec(NAME)
    own = None if found is None or found.origin is None else Path(found.origin).parents[1]
    return choose(own)


def load() -> ModuleType:
    """Import it.

    Raises
    ------
    ImportError : there is none, or it does not load
    """
    folder = origin().folder
    if folder is not None:
        return import_from(Path(folder))
    import onnxruntime

    module: ModuleType = onnxruntime
    return module


def import_from(folder: Path) -> ModuleType:
    """Import the package from a folder, and nothing else that lies there; ImportError where it does not load."""
    if NAME in sys.modules:
        return sys.modules[NAME]
    package = folder / NAME
    spec = importlib.util.spec_from_file_location(
        NAME, package / "__init__.py", submodule_search_locations=[str(package)]
    )
    if spec is None or spec.loader is None:
        raise ImportError(f"{package} is no package")
    module = sys.modules[NAME] = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except BaseException:
        for name in [name for name in sys.modules if name.partition(".")[0] == NAME]:
            del sys.modules[name]
        raise
    return module
