"""Packages of another release and architecture, by a private apt: only the program is this machine's."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from edgeface_image.contents import ARCH, COMPONENTS, KERNEL_SUITE, SUITE

KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")


class BuildError(Exception):
    """It cannot be built: what and what to do, in one line."""


def run(command: Sequence[str | Path], *, folder: Path | None = None, env: Mapping[str, str] | None = None) -> str:
    """Run a program; what it printed.

    Raises
    ------
    BuildError : it failed; with the last line that it said
    """
    try:
        done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise BuildError(f"{command[0]} is not installed; packaging/image/README.md names what is needed") from None
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip().splitlines()
        raise BuildError(f"{Path(command[0]).name} failed: {said[-1] if said else done.returncode}")
    return done.stdout


def sources(mirror: str, security: str) -> list[str]:
    """Lines of apt's list of sources."""
    signed = f"[signed-by={KEYRING}]"
    return [
        f"deb {signed} {mirror} {SUITE} {COMPONENTS}",
        f"deb {signed} {mirror} {SUITE}-updates {COMPONENTS}",
        f"deb {signed} {security} {SUITE}-security {COMPONENTS}",
    ]


class Apt:
    """A private apt for the image's architecture.

    Parameters
    ----------
    folder : its own, kept between builds
    """

    def __init__(self, folder: Path, mirror: str, security: str) -> None:
        self.debs = folder / "debs"
        for name in ("lists/partial", "cache/archives/partial", "etc/preferences.d", "debs"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        (folder / "status").touch()
        lines = [*sources(mirror, security), f"deb [signed-by={KEYRING}] {mirror} {KERNEL_SUITE} main"]
        (folder / "sources.list").write_text("\n".join(lines) + "\n")
        self._config = folder / "apt.conf"
        self._config.write_text(
            f'Dir::Etc::sourcelist "{folder}/sources.list";\nDir::Etc::sourceparts "-";\n'
            f'Dir::Etc::preferencesparts "{folder}/etc/preferences.d";\nDir::State::lists "{folder}/lists";\n'
            f'Dir::State::status "{folder}/status";\nDir::Cache "{folder}/cache";\n'
            f'APT::Architecture "{ARCH}";\nAPT::Architectures "{ARCH}";\nAPT::Sandbox::User "root";\n'
        )

    def update(self) -> None:
        """Fetch the lists."""
        run(["apt-get", "-c", self._config, "-qq", "update"])

    def fetch(self, names: Sequence[str]) -> list[Path]:
        """Files of these packages, fetched where they are not there; apt has held them against the signed lists."""
        wanted = {}
        for line in run(["apt-get", "-c", self._config, "download", "--print-uris", *names]).splitlines():
            _, name, size, _ = line.split()
            wanted[name] = int(size)
        missing = [name for name, size in wanted.items() if not self._there(name, size)]
        if missing:
            by_name = [f"{name.split('_')[0]}={_version(name)}" for name in missing]
            run(["apt-get", "-c", self._config, "-qq", "download", *by_name], folder=self.debs)
        return [self.debs / name for name in wanted]

    def kernel_release(self) -> str:
        """Release of the newest kernel of the backports, as `uname -r` says it."""
        depends = run(["apt-cache", "-c", self._config, "show", f"linux-image-{ARCH}"])
        for stanza in depends.split("\n\n"):
            if "~bpo" in stanza:
                for word in stanza.replace(",", " ").split():
                    if word.startswith("linux-image-"):
                        release = word.removeprefix("linux-image-")
                        if release[0].isdigit():
                            return release
        raise BuildError(f"{KERNEL_SUITE} has no kernel; give a --mirror that has it")

    def _there(self, name: str, size: int) -> bool:
        path = self.debs / name
        return path.is_file() and path.stat().st_size == size


def _version(name: str) -> str:
    return name.split("_")[1].replace("%3a", ":")
