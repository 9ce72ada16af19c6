"""``edgeface run``: the daemon."""

from __future__ import annotations

import argparse
import functools
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeface.cli.common import (
    add_bundle_option,
    add_config_options,
    add_log_option,
    add_random_option,
    read_bundle,
    read_config,
    set_up_logging,
)
from edgeface.errors import EdgefaceError

if TYPE_CHECKING:
    from edgeface.backoff import Backoff
    from edgeface.bundle import Bundle
    from edgeface.config import Config
    from edgeface.proof import Accelerated
    from edgeface.service.assembly import Assembly
    from edgeface.service.waits import Waits
    from edgeface.tuning import Tuned

SubParsers = argparse._SubParsersAction
logger = logging.getLogger(__name__)


def add_parser(subparsers: SubParsers[Any]) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "run",
        help="watch cameras or files and publish events over MQTT",
        description="Watches the configured cameras and publishes events. Ends by itself when all sources are files; "
        "with a camera it runs until it is stopped, and tries again for ever when camera or broker go away.",
    )
    parser.add_argument(
        "--source",
        metavar="SOURCE",
        help="one source instead of all configured cameras: number, /dev/..., file, folder, rtsp://..., picamera, "
        "picamera2, csi; of two on ribbon cables picamera2:0 and picamera2:1",
    )
    parser.add_argument("--pace", choices=("realtime", "max"), help="files: like a camera, or as fast as it goes (max)")
    parser.add_argument(
        "--once",
        action="store_true",
        help="end with the source, and with 1 when it or the broker is not there",
    )
    add_config_options(parser)
    add_bundle_option(parser)
    add_random_option(parser)
    add_log_option(parser)
    parser.set_defaults(run=run)


def run(
    args: argparse.Namespace, waits: Waits | None = None, backoff: Backoff | None = None, *, root: Path = Path("/")
) -> int:
    """Run the daemon until its sources end or a signal comes.

    ``waits``, ``backoff`` and ``root``, where files of the kernel begin, are for tests.
    """
    from edgeface.service.assembly import Assembly  # `--help` should not load OpenCV
    from edgeface.service.daemon import Daemon
    from edgeface.service.reader import BACKOFF

    # A reload reads the same old names again: once is enough.
    warn = functools.cache(logger.warning)

    def load(before: Assembly | None) -> Assembly:
        config = _configured(args, warn)
        bundle = read_bundle(args, config)
        accelerated = _accelerated(bundle, config, before)
        tuned = _tuned(bundle, config, on_processor=not accelerated.provider.execution)
        whole = args.source is None
        return Assembly(
            config,
            bundle,
            environ=os.environ,
            once=args.once,
            whole=whole,
            backoff=backoff or BACKOFF,
            before=before,
            accelerated=accelerated,
            tuned=tuned,
        )

    set_up_logging(args)
    return Daemon(load, signals=args.signals, environ=os.environ, waits=waits, root=root).run()


def _tuned(bundle: Bundle, config: Config, *, on_processor: bool) -> Tuned:
    """The configuration as this board runs it best, proved in a child; as it is where that does not hold."""
    import msgspec

    from edgeface.proof import prove_once
    from edgeface.tuning import place, tuned

    found = tuned(bundle, config, place(os.environ), on_processor=on_processor)
    if found.standing == "stale":
        logger.info("%s", found.text)
    try:
        prove_once(bundle, found.config, os.environ)
    except EdgefaceError as error:
        if found.standing != "fresh":
            raise
        text = f"what was measured does not run: the bundle's order holds; run `edgeface tune` ({error.what})"
        logger.warning("%s", text)
        prove_once(bundle, config, os.environ)
        return msgspec.structs.replace(found, config=config, standing="stale", text=text)
    return found


def _accelerated(bundle: Bundle, config: Config, before: Assembly | None) -> Accelerated:
    """What the networks are to compute on: as before where nothing about them changed, nothing failed or is built."""
    from edgeface.proof import accelerate
    from edgeface.service.notify import Notifier
    from edgeface.service.untouched import same_networks
    from edgeface.service.vitals import bundle_health

    if (
        before is not None
        and before.accelerated.pending is None
        and not before.accelerated.reasons
        and before.bundle == bundle_health(bundle)
        and same_networks(before.config, config)
    ):
        return before.accelerated
    found = accelerate(bundle, config, os.environ, extend=Notifier(os.environ).extend)
    if found.reasons:
        # In place of one that nobody asked for by name another may compute as well.
        level = logging.INFO if found.provider.execution and config.runtime.provider == "auto" else logging.WARNING
        logger.log(level, "the networks run on %s: %s", found.provider.name, "; ".join(found.reasons))
    return found


def _configured(args: argparse.Namespace, warn: Callable[[str], object]) -> Config:
    import msgspec

    config = read_config(args, warn=warn)
    if args.source is not None:
        main = config.cameras.get("main") or next(iter(config.cameras.values()))
        config = msgspec.structs.replace(config, cameras={"main": msgspec.structs.replace(main, source=args.source)})
    if args.pace is not None:
        cameras = {name: msgspec.structs.replace(c, pace=args.pace) for name, c in config.cameras.items()}
        config = msgspec.structs.replace(config, cameras=cameras)
    return config
