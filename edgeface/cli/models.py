"""``edgeface models``: what a bundle holds, whether it computes rightly here; bundles installed and taken away."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeface.bundle import SEARCH_PATH, Bundle, expect_names
from edgeface.cli.common import (
    add_bundle_option,
    add_config_options,
    add_random_option,
    columns,
    read_bundle,
    read_config,
)
from edgeface.errors import BundleError, ConfigError, UsageError, complain

if TYPE_CHECKING:
    from edgeface.config import Config


def add_parser(subparsers: argparse._SubParsersAction[Any]) -> None:
    """Add the command."""
    parser = subparsers.add_parser("models", help="list, verify, install or remove bundles of networks")
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    for name, text, command in (
        ("list", "networks, files, licences", list_networks),
        (
            "verify",
            "hash every file, run every network's self-test, and the chain of detector, crops and heads once",
            verify,
        ),
    ):
        action = actions.add_parser(name, help=text, description=text)
        add_config_options(action)
        add_bundle_option(action)
        action.add_argument("--json", action="store_true", help="JSON on standard output")
        if command is verify:
            add_random_option(action)
        action.set_defaults(run=command)
    for name, text, command, what in (
        (
            "install",
            "check an archive of a bundle, run all that it holds, and put it where edgeface looks",
            install,
            "FILE|URL",
        ),
        ("remove", "take an installed bundle away", remove, "NAME"),
    ):
        action = actions.add_parser(name, help=text, description=text)
        action.add_argument("what", metavar=what)
        action.add_argument("--to", metavar="DIR", help=f"folder of bundles (default: {SEARCH_PATH[0]})")
        if command is install:
            _add_proofs(action)
            add_config_options(action)
            add_random_option(action)
            action.add_argument(
                "--downgrade", action="store_true", help="take a version that is older than what is here"
            )
            action.add_argument(
                "--allow-untried",
                action="store_true",
                help="take networks of which no file can be run here, since their runtime is not installed",
            )
        action.set_defaults(run=command)


def list_networks(args: argparse.Namespace) -> int:
    """Print the networks of the bundle."""
    # Listing runs nothing.
    args.allow_random = True
    config = read_config(args)
    from edgeface.installing import hidden

    bundle = read_bundle(args, config, names=False)
    manifest = bundle.manifest
    if (newer := hidden(bundle)) is not None:
        complain(f"warning: {newer}")
    table = [("network", "task", "default", "files", "licence")]
    rows: list[dict[str, object]] = []
    for network in manifest.networks:
        files = [f"{file.runtime}/{file.precision}" for entries in network.files.values() for file in entries]
        tasks: list[str] = [*network.answers] or [network.task]
        default = network.name in [name for task, name in manifest.defaults.items() if task in tasks]
        rows.append(
            {
                "network": network.name,
                "task": network.task,
                "default": default,
                "files": files,
                "licence": network.licence,
                "answers": tasks,
                "random_weights": network.random_weights,
            }
        )
        name = f"{network.name} (random weights)" if network.random_weights else network.name
        table.append((name, " ".join(tasks), "yes" if default else "", " ".join(files), network.licence))
    if args.json:
        print(json.dumps({"bundle": manifest.name, "version": manifest.version, "networks": rows}, indent=2))
        return 0
    print(f"bundle {manifest.name} {manifest.version}")
    print(*columns(table), sep="\n")
    return 0


def verify(args: argparse.Namespace) -> int:
    """Try every file and the whole chain; exit 2 when one cannot be trusted, 1 when a network could not be tried."""
    from edgeface.proof import prove, steps_of, untried_networks

    config = read_config(args)
    bundle = read_bundle(args, config, names=False)
    outcomes = list(prove(bundle, steps_of(bundle)))
    rows: list[dict[str, str]] = []
    for outcome in outcomes:
        # A file that was only hashed is right as far as can be told.
        result = "bad" if outcome.result == "bad" else "ok"
        rows.append(
            {"network": outcome.step.network, "file": outcome.step.path, "result": result, "detail": outcome.detail}
        )
    files = [row for row in rows if row["network"]]
    chain = next((row for row in rows if not row["network"]), None)
    bad = [row for row in files if row["result"] == "bad"]
    untried = [network.name for network, _ in untried_networks(bundle, outcomes)]
    if args.json:
        report = {"bundle": str(bundle.folder), "files": files, "bad": len(bad), "untried": untried}
        if chain is not None:
            report["chain"] = {"result": chain["result"], "detail": chain["detail"]}
        print(json.dumps(report, indent=2))
    else:
        shown = [(row["file"] or "chain", row["result"], row["detail"]) for row in rows]
        print(*columns([("file", "result", ""), *shown]), sep="\n")
        print(f"{len(files) - len(bad)} of {len(files)} files of {bundle.folder} are right")
        if untried:
            print(f"not tried, no file runs here: {', '.join(untried)}")
    if any(row["result"] == "bad" for row in rows):
        return BundleError.exit_code
    return 1 if untried else 0


def install(args: argparse.Namespace) -> int:
    """Install an archive that ``python -m converters pack`` wrote, from a file or over https."""
    from edgeface.installing import install as put
    from edgeface.updates import Trust

    chosen = _chosen(args)
    bundle = put(
        args.what,
        _parent(args),
        trust=Trust(sha256=args.sha256, signature=args.signature, keys=_keys(args.keys)),
        expect=lambda bundle: _judge(bundle, chosen),
        allow_random=args.allow_random,
        allow_untried=args.allow_untried,
        downgrade=args.downgrade,
    )
    name = bundle.manifest.name
    print(f"{name} {bundle.manifest.version} is installed in {bundle.folder}")
    if bundle.folder.parent not in SEARCH_PATH:
        print(f"choose it with --bundle {bundle.folder}")
    elif chosen is not None and name == (chosen.bundle or "default"):
        print("a service that runs goes on with the one before: sudo systemctl reload edgeface")
    else:
        print(f'choose it with `bundle = "{name}"` in the configuration, or --bundle {name}')
    return 0


def _add_proofs(action: argparse.ArgumentParser) -> None:
    action.add_argument("--sha256", metavar="HEX", help="what the archive must be; an address needs it, or a signature")
    action.add_argument(
        "--signature", metavar="FILE|URL", help="of the archive (default: beside it, with .sig or .minisig behind)"
    )
    action.add_argument(
        "--keys",
        metavar="DIR",
        help="public keys of OpenSSH or minisign; with one there, only what it has signed is taken "
        "(default: /etc/edgeface/keys)",
    )


def _keys(given: str | None) -> Path:
    """The folder of keys; one that was named and is not there would mean that nothing needs a signature."""
    from edgeface.updates import KEYS

    if given is not None and not Path(given).is_dir():
        raise UsageError(f"there is no folder {given}", fix="name the folder of public keys with --keys")
    return Path(given) if given is not None else KEYS


def _chosen(args: argparse.Namespace) -> Config | None:
    """The configuration of this machine; None where it cannot hold, which is no reason to go without a bundle."""
    try:
        return read_config(args)
    except ConfigError as error:
        complain(f"warning: not judged against the configuration: {error}")
        return None


def _judge(bundle: Bundle, chosen: Config | None) -> None:
    """BundleError where the configuration chooses this bundle and names what is not in it."""
    if chosen is not None and bundle.manifest.name == (chosen.bundle or "default"):
        expect_names(bundle, chosen)


def remove(args: argparse.Namespace) -> int:
    """Take an installed bundle away."""
    from edgeface.installing import remove as take_away

    print(f"{take_away(args.what, _parent(args))} is removed")
    return 0


def _parent(args: argparse.Namespace) -> Path:
    return Path(args.to) if args.to else SEARCH_PATH[0]
