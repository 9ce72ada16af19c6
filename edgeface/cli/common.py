"""What several commands share: options for configuration and bundle, and how they are read."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import msgspec

from edgeface.bundle import Bundle, expect_names, find_bundle, open_bundle
from edgeface.config import CONFIG_PATHS, Config, at_rest, find_config, load_config, parse_override
from edgeface.errors import UsageError, complain

if TYPE_CHECKING:
    from _typeshed import SupportsWrite


class Parser(argparse.ArgumentParser):
    """An ArgumentParser whose complaint is one line with the fix, exit code 2.

    Nothing takes an empty word: it is what a script's unset variable leaves, and would mean the default.
    """

    def error(self, message: str) -> NoReturn:
        """Print one line and exit with 2."""
        self.exit(2, f"edgeface: {message}; see `{self.prog} --help`\n")

    def _get_value(self, action: argparse.Action, arg_string: str) -> Any:
        # A command takes all words behind it, and has them judged by its own parser.
        if not arg_string and action.nargs != argparse.PARSER:
            raise argparse.ArgumentError(action, "it is empty")
        return super()._get_value(action, arg_string)

    def _print_message(self, message: str, file: SupportsWrite[str] | None = None) -> None:
        """As argparse does, but without keeping quiet about a full disk."""
        if message:
            (file or sys.stderr).write(message)


def add_config_options(parser: argparse.ArgumentParser) -> None:
    """``--config`` and ``--set``."""
    parser.add_argument(
        "--config",
        metavar="FILE",
        help="configuration; else EDGEFACE_CONFIG, ./edgeface.toml, /etc/edgeface/edgeface.toml, built-in",
    )
    parser.add_argument(
        "--set",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        dest="overrides",
        help="override one key, for example --set mqtt.host=broker.lan (may be repeated)",
    )


def add_bundle_option(parser: argparse.ArgumentParser) -> None:
    """``--bundle``."""
    parser.add_argument("--bundle", metavar="NAME|DIR", help="bundle of networks; else EDGEFACE_BUNDLE, or: default")


def add_random_option(parser: argparse.ArgumentParser) -> None:
    """``--allow-random``."""
    parser.add_argument(
        "--allow-random",
        action="store_true",
        help="take a bundle with untrained networks, to try the chain: their answers mean nothing",
    )


def add_log_option(parser: argparse.ArgumentParser) -> None:
    """``--verbose``."""
    parser.add_argument("-v", "--verbose", action="store_true", help="say more on standard error")


def set_up_logging(args: argparse.Namespace) -> None:
    """Log to standard error; under systemd the journal adds the time itself."""
    journal = "JOURNAL_STREAM" in os.environ
    logging.basicConfig(
        stream=sys.stderr,
        level=logging.DEBUG if args.verbose else logging.INFO,
        format="%(levelname)s %(message)s" if journal else "%(asctime)s %(levelname)s %(message)s",
        datefmt="%H:%M:%S",
    )


def _complain(warning: str) -> None:
    complain(f"warning: {warning}")


def read_config(
    args: argparse.Namespace, extra: Mapping[str, Any] | None = None, *, warn: Callable[[str], object] = _complain
) -> Config:
    """Read the configuration of a command: file, environment, ``--set``, then ``extra`` (the command's own options).

    ``warn`` takes a line for each key by an old name: standard error, or the log of a command that has one.
    """
    overrides = dict(parse_override(text) for text in args.overrides)
    overrides.update(extra or {})
    path = config_path(args)
    use_credentials(path)
    config = load_config(path, environ=os.environ, overrides=overrides, warn=warn)
    return msgspec.structs.replace(config, mqtt=at_rest(config.mqtt, os.environ))


def use_credentials(path: Path | None, *, service: Path = CONFIG_PATHS[-1]) -> None:
    """With the service's configuration, take its credentials too, if we may read them: the unit does so for it.

    What root types then meets the broker as the service does.
    """
    folder = service.parent / "credentials"
    if path == service and os.access(folder, os.R_OK | os.X_OK):
        os.environ.setdefault("CREDENTIALS_DIRECTORY", str(folder))


def config_path(args: argparse.Namespace) -> Path | None:
    """The configuration file of a command, None for the built-in one.

    Raises
    ------
    UsageError : two of them are named
    """
    file = getattr(args, "file", None)
    if file and args.config and file != args.config:
        raise UsageError(f"two configurations, {file} and {args.config}", fix="name one")
    return find_config(file or args.config, os.environ)


def read_bundle(args: argparse.Namespace, config: Config, *, names: bool = True) -> Bundle:
    """Open the bundle of a command; one with untrained networks only for ``--allow-random``.

    ``names`` that the configuration gives must be the bundle's; not for who lists them.
    """
    bundle = open_bundle(find_bundle(args.bundle, config, os.environ), allow_random=args.allow_random)
    if names:
        expect_names(bundle, config)
    return bundle


def tuned_config(bundle: Bundle, config: Config, *, on_processor: bool = True) -> Config:
    """A configuration as this board runs it best; a choice that does not hold any more is one line."""
    from edgeface.tuning import place, tuned

    found = tuned(bundle, config, place(os.environ), on_processor=on_processor)
    if found.standing == "stale":
        complain(found.text)
    return found.config


def columns(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Lines of a table, its columns as wide as their widest cell; the last one is not padded."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
