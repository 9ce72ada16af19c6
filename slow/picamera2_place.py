"""A Debian with real libcamera, real picamera2 and a virtual camera, in which the product is installed and booted.

Made by packages alone, in a folder; no kernel module, no device. Needs root, x86-64, mmdebstrap, systemd-container, cc.
Debian 13 with libcamera of its backports: the virtual camera of older ones leaves the metadata of its pictures empty.
"""

from __future__ import annotations

import os
import pty
import shutil
import subprocess
import sys
import time
import zipfile
from hashlib import sha256
from pathlib import Path

import cv2
import numpy as np
from astronaut import astronaut

from edgeface.sources import picamera2_child

ROOT = Path(__file__).resolve().parents[1]
HERE = Path(__file__).parent / "virtual_camera"
SUITE, BACKPORTS, PYTHON = "trixie", "trixie-backports", "3.13"
PACKAGES = "python3,python3-venv,python3-numpy,python3-prctl,systemd,systemd-sysv,udev,dbus"
WHEELS = (
    *("picamera2==0.3.38", "piexif==1.1.3", "pillow==13.0.0", "simplejpeg==1.9.0", "videodev2==0.0.4", "av==19.0.2"),
    *("libarchive-c==5.3", "tqdm==4.70.1", "jsonschema==4.26.0", "jsonschema-specifications==2025.9.1"),
    *("attrs==26.1.0", "referencing==0.37.0", "rpds-py==2026.9.1", "OpenEXR==3.5.3"),
)
"""What Debian has not, or not so new. python-prctl and numpy are the system's, as on a Raspberry Pi."""
STANDINS = {
    "pykms.py": "class Any(type):\n    def __getattr__(cls, name):\n        return name\n"
    "class PixelFormat(metaclass=Any):\n    pass\n",
    "pidng/__init__.py": "",
    "pidng/camdefs.py": "Picamera2Camera = None\n",
    "pidng/core.py": "PICAM2DNG = None\n",
}
"""Imported by picamera2 for preview windows and raw pictures; on no index."""
PLATFORMS = ("manylinux2014", *(f"manylinux_2_{minor}" for minor in (17, 24, 26, 27, 28, 31, 34, 35, 39, 41)))
CAMERA = """\
"Virtual0":
  supported_formats:
  - { width: 1280, height: 720, frame_rates: [ 30, 30 ] }
  - { width: 640, height: 360, frame_rates: [ 30, 30 ] }
  frames: { path: "/opt/virtual-camera/pictures/" }
  location: "CameraLocationFront"
  model: "Virtual"
"""
PRELOAD = "LD_PRELOAD=/opt/virtual-camera/dmabuf.so"
DROP_IN = f"[Service]\nEnvironment={PRELOAD}\n"
PICTURES = 30
BOOT_S = 120.0
PROGRAMS = {"mmdebstrap": "mmdebstrap", "systemd-nspawn": "systemd-container", "cc": "gcc libc6-dev", "git": "git"}
"""What makes and boots it, and the packages that they come in."""


def call(*words: str | Path, **options: object) -> str:
    """Run a program to its good end; what it printed."""
    done = subprocess.run([str(word) for word in words], stdout=subprocess.PIPE, text=True, check=True, **options)  # type: ignore[call-overload]
    return str(done.stdout)


class Place:
    """The folder of that Debian.

    Parameters
    ----------
    folder : kept from one run to the next; what is there is not made again
    """

    def __init__(self, folder: Path) -> None:
        self.root = folder / "root"
        self.faults = self.root / "opt/virtual-camera"
        self._wheels = folder / "wheels"
        self._nspawn: subprocess.Popen[bytes] | None = None
        self._leader = 0

    def build(self) -> None:
        """Make what is not there, then install this tree's product into it."""
        if not (self.root / "made").exists():
            shutil.rmtree(self.root, ignore_errors=True)
            self.root.mkdir(parents=True)
            self._make_system()
            self._make_picamera2()
            (self.root / "made").touch()
        self._make_camera()
        self._install()

    def inside(self, *words: str) -> list[str]:
        """Words that run a program in there without booting it."""
        mounts = 'mount -t proc proc "$0/proc"; mount --rbind /dev "$0/dev"; mount -t tmpfs tmpfs "$0/run"; '
        path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        # Before the shim is there, the loader would complain of its absence.
        preload = PRELOAD if (self.faults / "dmabuf.so").exists() else ""
        enter = f'exec chroot "$0" /usr/bin/env -i {path} HOME=/root LANG=C.UTF-8 {preload} "$@"'
        return ["unshare", "-m", "--propagation", "private", "sh", "-ec", mounts + enter, str(self.root), *words]

    def boot(self) -> None:
        """Boot it; it shares this machine's network, so that its broker may be here."""
        ours, theirs = pty.openpty()
        words = ["systemd-nspawn", "--quiet", "-D", str(self.root), "--register=no", "--keep-unit", "-b"]
        words += [f"--machine=edgeface-{os.getpid()}", "--setenv=SYSTEMD_COLORS=0"]
        self._nspawn = subprocess.Popen(words, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True)
        os.close(theirs)
        self._console = ours
        os.set_blocking(ours, False)
        children = Path(f"/proc/{self._nspawn.pid}/task/{self._nspawn.pid}/children")
        end_s = time.monotonic() + BOOT_S
        while time.monotonic() < end_s and self._nspawn.poll() is None:
            self._drain()
            found = children.read_text().split()
            if found:
                self._leader = int(found[0])
                if self.run("systemctl", "is-system-running").strip() in ("running", "degraded"):
                    return
            time.sleep(0.2)
        raise SystemExit(f"the system did not boot in {BOOT_S:g} s")

    def run(self, *words: str) -> str:
        """Run a program in the booted system; what it said, both ways."""
        self._drain()
        enter = ["nsenter", "-t", str(self._leader), "-m", "-u", "-i", "-n", "-p", "-C", "--"]
        done = subprocess.run(
            [*enter, *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
        )
        return done.stdout

    def halt(self) -> None:
        """Shut it down, whatever it is doing."""
        if self._nspawn is None:
            return
        self.run("systemctl", "poweroff")
        try:
            self._nspawn.wait(60)
        except subprocess.TimeoutExpired:
            self._nspawn.kill()
            self._nspawn.wait(10)
        os.close(self._console)

    def _drain(self) -> None:
        """Take what the console shows: a full terminal would hold the system up."""
        while True:
            try:
                if not os.read(self._console, 65536):
                    return
            except OSError:
                return

    def _make_system(self) -> None:
        mirror = os.environ.get("MIRROR", "http://deb.debian.org/debian")
        words = ["mmdebstrap", "--quiet", "--arch=amd64", "--variant=apt", f"--include={PACKAGES}", SUITE]
        call(*words, self.root, f"deb {mirror} {SUITE} main")
        (self.root / "etc/apt/sources.list.d/backports.list").write_text(f"deb {mirror} {BACKPORTS} main\n")
        shutil.copy("/etc/resolv.conf", self.root / "etc/resolv.conf")
        install = f"apt-get -q install -y --no-install-recommends -t {BACKPORTS} python3-libcamera libcamera-ipa"
        call(*self.inside("sh", "-ec", f"apt-get -q update; DEBIAN_FRONTEND=noninteractive {install}"))
        (self.root / "var/log/journal").mkdir(exist_ok=True)

    def _make_picamera2(self) -> None:
        """Where the system's Python looks by itself, as if it were the distribution's package."""
        packages = self.root / f"usr/local/lib/python{PYTHON}/dist-packages"
        packages.mkdir(parents=True, exist_ok=True)
        for wheel in self._download(self._wheels / "picamera2", *WHEELS, "--no-deps"):
            with zipfile.ZipFile(wheel) as archive:
                archive.extractall(packages)
        for name, text in STANDINS.items():
            (packages / name).parent.mkdir(exist_ok=True)
            (packages / name).write_text(text)
        entry = packages / "picamera2/__init__.py"
        entry.write_text(f"import virtual_camera\n{entry.read_text()}\nvirtual_camera.allocate(Picamera2)\n")

    def _make_camera(self) -> None:
        packages = self.root / f"usr/local/lib/python{PYTHON}/dist-packages"
        shutil.copy(HERE / "virtual_camera.py", packages)
        self.faults.mkdir(parents=True, exist_ok=True)
        for name in ("silent", "die", "stuck"):
            (self.faults / name).unlink(missing_ok=True)
        shutil.copy(picamera2_child.__file__, self.faults / "picamera2_child.py")
        shutil.copy(ROOT / "tests/picamera2_cases.py", self.faults)
        call("cc", "-O2", "-fPIC", "-shared", "-o", self.faults / "dmabuf.so", HERE / "dmabuf.c", "-ldl")
        pictures = self.faults / "pictures"
        pictures.mkdir(exist_ok=True)
        for number in range(PICTURES):
            cv2.imwrite(str(pictures / f"{number:03d}.jpg"), scene(number))
        settings = self.root / "usr/share/libcamera/pipeline/virtual/virtual.yaml"
        settings.parent.mkdir(parents=True, exist_ok=True)
        settings.write_text(CAMERA)

    def _install(self) -> None:
        """By the product's own installer, from wheels that were fetched before."""
        wheels = self._wheels / "edgeface"
        lock = ROOT / f"requirements/python{PYTHON}-x86_64.txt"
        self._download(wheels, "--require-hashes", "--no-deps", "-r", str(lock))
        self._download(wheels, "--require-hashes", "--no-deps", "-r", str(ROOT / "requirements/build.txt"))
        tree, there = self.root / "src", self.root / "wheels"
        shutil.rmtree(tree, ignore_errors=True)
        for name in call("git", "-C", ROOT, "ls-files", "--cached", "--others", "--exclude-standard").splitlines():
            if (ROOT / name).is_file() and not name.startswith(("tests/", "converters/")):
                (tree / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / name, tree / name)
        shutil.rmtree(there, ignore_errors=True)
        shutil.copytree(wheels, there)
        offline = ["env", "PIP_NO_INDEX=1", "PIP_FIND_LINKS=/wheels"]
        call(*self.inside(*offline, "/src/scripts/install"))
        drop_in = self.root / "etc/systemd/system/edgeface.service.d/virtual-camera.conf"
        drop_in.parent.mkdir(exist_ok=True)
        drop_in.write_text(DROP_IN)

    def _download(self, folder: Path, *words: str) -> list[Path]:
        """Wheels for that Python, once."""
        folder.mkdir(parents=True, exist_ok=True)
        stamp = folder / f"{sha256(repr(words).encode()).hexdigest()[:16]}.done"
        platforms = [word for name in PLATFORMS for word in ("--platform", f"{name}_x86_64")]
        abis = [word for name in (f"cp{PYTHON.replace('.', '')}", "abi3", "none") for word in ("--abi", name)]
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--only-binary=:all:", "--dest", str(folder)]
        pip += ["--implementation", "cp", "--python-version", PYTHON, *platforms, *abis, *words]
        if not stamp.exists():
            subprocess.run(pip, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            stamp.touch()
        return sorted(folder.glob("*.whl"))


def scene(number: int) -> np.ndarray:
    """Somebody who sways a little, with a sensor's noise: uint8 (720, 1280, 3), BGR."""
    picture = np.full((720, 1280, 3), 110, np.uint8)
    left = round(384 + 60 * np.sin(2 * np.pi * number / PICTURES))
    picture[100:612, left : left + 512] = astronaut()
    noisy = picture + np.random.default_rng(number).normal(0, 3, picture.shape)
    return np.clip(noisy, 0, 255).astype(np.uint8)
