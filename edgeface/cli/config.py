"""``edgeface config``: check a configuration, or show what is in force."""

from __future__ import annotations

import argparse
from typing import Any

from edgeface.cli.common import add_config_options, read_config
from edgeface.config import redacted, to_toml


def add_parser(subparsers: argparse._SubParsersAction[Any]) -> None:
    """Add the command."""
    parser = subparsers.add_parser("config", help="check or show the configuration")
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    check_action = actions.add_parser("check", help="read the configuration and say whether it holds")
    add_config_options(check_action)
    check_action.set_defaults(run=check)
    show_action = actions.add_parser("show", help="print the configuration in force as TOML, secrets as ***")
    show_action.add_argument("--commented", action="store_true", help="every key with its meaning, range and default")
    add_config_options(show_action)
    show_action.set_defaults(run=show)


def check(args: argparse.Namespace) -> int:
    """Read everything that the daemon would read before it starts."""
    import os  # noqa: PLC0415

    from edgeface.config import find_config, mqtt_password  # noqa: PLC0415

    config = read_config(args)
    mqtt_password(config.mqtt, os.environ)
    print(f"{find_config(args.config, os.environ) or 'built-in configuration'}: good")
    return 0


def show(args: argparse.Namespace) -> int:
    """Print the configuration in force."""
    if args.commented:
        from edgeface.configdoc import commented_toml  # noqa: PLC0415

        print(commented_toml(), end="")
    else:
        print(to_toml(redacted(read_config(args))), end="")
    return 0
