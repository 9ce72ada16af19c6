"""``edgeface config``: check a configuration, or show what is in force."""

from __future__ import annotations

import argparse
import os
import sys
from typing import TYPE_CHECKING, Any

from edgeface.cli.common import (
    add_bundle_option,
    add_config_options,
    add_random_option,
    config_path,
    read_bundle,
    read_config,
)
from edgeface.config import ONE_DEVICE, redacted, shared_device, to_toml
from edgeface.errors import BundleError, RuntimeMissingError, complain

if TYPE_CHECKING:
    from edgeface.config import Config


def add_parser(subparsers: argparse._SubParsersAction[Any]) -> None:
    """Add the command."""
    parser = subparsers.add_parser("config", help="check or show the configuration")
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    check_action = actions.add_parser(
        "check",
        help="read and judge the configuration as `run` would",
        description="Reads the configuration and judges it as `run` would: names, certificates, password, files, the "
        "bundle and every network that is in use. Exit code 2 and one line where `run` would not start.",
    )
    check_action.add_argument("file", nargs="?", metavar="FILE", help="configuration; the same as --config FILE")
    check_action.add_argument(
        "--elsewhere",
        action="store_true",
        help="this is not the node: leave out its certificates, password and source files, and a bundle or runtime "
        "that is not here",
    )
    add_config_options(check_action)
    add_bundle_option(check_action)
    add_random_option(check_action)
    check_action.set_defaults(run=check)
    show_action = actions.add_parser("show", help="print the configuration in force as TOML, secrets as ***")
    show_action.add_argument("file", nargs="?", metavar="FILE", help="configuration; the same as --config FILE")
    show_action.add_argument("--commented", action="store_true", help="every key with its meaning, range and default")
    add_config_options(show_action)
    show_action.set_defaults(run=show)


def check(args: argparse.Namespace) -> int:
    """Judge everything that `run` would judge before it starts."""
    config = read_config(args)
    left_out = _judge_elsewhere(args, config) if args.elsewhere else _judge(args, config)
    print(f"{config_path(args) or 'built-in configuration'}: good")
    if left_out:
        print(f"edgeface: not judged here: {left_out}", file=sys.stderr)
    return 0


def _judge(args: argparse.Namespace, config: Config) -> str:
    from edgeface.service.assembly import Assembly  # loads OpenCV and the runtimes

    Assembly(config, read_bundle(args, config), environ=os.environ, once=False)
    if shared := shared_device(config.cameras, os.path.realpath):
        complain(f"warning: as it is plugged in now {shared}; {ONE_DEVICE}")
    return ""


def _judge_elsewhere(args: argparse.Namespace, config: Config) -> str:
    """Judge what can be judged away from the node; what could not, in words."""
    from edgeface.bundle import find_bundle
    from edgeface.service.loading import load_networks

    left_out = "certificates, password, sources"
    try:
        find_bundle(args.bundle, config, os.environ)
    except BundleError as error:
        return f"{left_out}, bundle ({error.what})"
    bundle = read_bundle(args, config)
    try:
        load_networks(config, bundle)
    except RuntimeMissingError as error:
        return f"{left_out}, networks ({error.what})"
    return left_out


def show(args: argparse.Namespace) -> int:
    """Print the configuration in force."""
    if args.commented:
        from edgeface.config.document import commented_toml

        print(commented_toml(), end="")
    else:
        print(to_toml(redacted(read_config(args))), end="")
    return 0
