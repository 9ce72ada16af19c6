"""What is in the image: packages, modules of the kernel, files of the first partition, sizes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

SUITE, ARCH, TRIPLET = "trixie", "arm64", "aarch64-linux-gnu"
COMPONENTS = "main non-free-firmware"
MIRROR = "http://deb.debian.org/debian"
SECURITY = "http://deb.debian.org/debian-security"
KERNEL_SUITE = f"{SUITE}-backports"
"""Trixie's own kernel has neither the card of a Pi 5 nor its USB and network."""
DISK_ID = 0xEDFACE01
"""The number of the disk in its first sector, by which the initrd knows its card, whatever it is called."""

PACKAGES: Sequence[str] = (
    "systemd", "systemd-sysv", "systemd-resolved", "libidn2-0", "systemd-timesyncd", "libpam-systemd", "dbus",
    "udev", "kmod", "openssh-server", "wpasupplicant", "wireless-regdb", "iproute2",
    "python3", "python3-yaml", "libgomp1", "libstdc++6", "ca-certificates", "tzdata",
    "sudo", "passwd", "procps", "less", "fdisk", "e2fsprogs", "dosfstools", "v4l-utils",
)  # fmt: skip
"""What is installed, with what it depends on; without libidn2 systemd-resolved calls every node ``linux.local``."""
FIRMWARE: Sequence[str] = ("raspi-firmware", "firmware-brcm80211", "firmware-realtek")
"""Only unpacked: for the first partition, and for radios of the boards and of usual sticks."""
KERNEL: Sequence[str] = ("linux-binary", "linux-modules", "linux-base")
INITRD_PACKAGES: Sequence[str] = ("busybox-static",)

INITRD_MODULES: Sequence[str] = (
    # a Pi's card, through Pi 3's and 4's controllers and Pi 5's
    "bcm2835_dma", "clk_raspberrypi", "gpio_raspberrypi_exp", "gpio_regulator", "reset_raspberrypi",
    "bcm2835", "sdhci_iproc", "sdhci_brcmstb", "mmc_block",
    # a disk by USB
    "pcie_brcmstb", "xhci_pci", "xhci_plat_hcd", "dwc2", "dwc3", "rp1_pci", "clk_rp1", "pinctrl_rp1", "usb_storage",
    "uas", "sd_mod",
    # QEMU
    "virtio_pci", "virtio_mmio", "virtio_blk",
    # the file systems of slots, data and the first partition
    "squashfs", "overlay", "ext4", "vfat", "nls_cp437", "nls_ascii",
    "bcm2835_wdt",
)  # fmt: skip
"""By their names; what the kernel has built in, or does not have, is passed over."""
NO_MODULES: Sequence[str] = (
    "drivers/gpu/drm/amd", "drivers/gpu/drm/nouveau", "drivers/gpu/drm/radeon", "drivers/gpu/drm/msm",
    "drivers/gpu/drm/xe", "drivers/gpu/drm/i915", "drivers/infiniband", "drivers/scsi/qla2xxx", "drivers/scsi/lpfc",
    "drivers/net/ethernet/mellanox", "drivers/net/ethernet/intel", "drivers/net/ethernet/broadcom/bnx2x",
    "drivers/net/ethernet/chelsio", "drivers/net/ethernet/qlogic", "drivers/net/ethernet/cavium",
    "drivers/net/ethernet/netronome", "drivers/net/wireless/intel", "drivers/net/wireless/ath",
)  # fmt: skip
"""Of hardware that no such board takes."""

DEVICE_TREES: Sequence[str] = (
    "bcm2837-rpi-3-a-plus", "bcm2837-rpi-3-b", "bcm2837-rpi-3-b-plus", "bcm2837-rpi-cm3-io3", "bcm2837-rpi-zero-2-w",
    "bcm2711-rpi-4-b", "bcm2711-rpi-400", "bcm2711-rpi-cm4-io",
    "bcm2712-rpi-5-b", "bcm2712-d-rpi-5-b",
)  # fmt: skip
BOOT_FIRMWARE: Sequence[str] = ("bootcode.bin", "start.elf", "fixup.dat", "start4.elf", "fixup4.dat")
"""A Pi 5 has its own in its EEPROM."""

MIB = 2**20
START = 4 * MIB
PARTITIONS: Mapping[str, int] = {"boot": 256 * MIB, "slot a": 640 * MIB, "slot b": 640 * MIB, "data": 64 * MIB}
"""In their order; data grows over what is left at the first boot."""

MASKED: Sequence[str] = (
    "getty@tty1.service", "sshd-keygen.service", "systemd-random-seed.service", "apt-daily.timer",
    "apt-daily-upgrade.timer", "dpkg-db-backup.timer", "e2scrub_all.timer", "e2scrub_reap.service", "fstrim.timer",
    "wpa_supplicant.service", "systemd-firstboot.service", "ssh.socket",
    "systemd-pstore.service",
)  # fmt: skip
UNITS = "usr/lib/systemd/system"
ENABLED: Mapping[str, str] = {
    "systemd-networkd.service": "multi-user.target",
    "systemd-resolved.service": "sysinit.target",
    "systemd-timesyncd.service": "sysinit.target",
    "ssh.service": "multi-user.target",
    "edgeface.service": "multi-user.target",
    "edgeface-tune.service": "multi-user.target",
    "edgeface-card.service": "sysinit.target",
    "edgeface-grow.service": "sysinit.target",
    "edgeface-panic.service": "sysinit.target",
    "edgeface-trial.service": "sysinit.target",
    "edgeface-console.service": "multi-user.target",
}
"""Units, and by whom they are wanted."""


def partition_table() -> str:
    """Script of sfdisk for the whole disk."""
    lines = ["label: dos", f"label-id: {DISK_ID:#010x}", "unit: sectors"]
    start = START
    for name, size in PARTITIONS.items():
        kind = "c, bootable" if name == "boot" else "83"
        lines.append(f"start={start // 512}, size={size // 512}, type={kind}")
        start += size
    return "\n".join(lines) + "\n"


def offsets() -> dict[str, int]:
    """Where each partition begins, in bytes."""
    found, start = {}, START
    for name, size in PARTITIONS.items():
        found[name] = start
        start += size
    return found


def size() -> int:
    """Bytes of the whole disk."""
    return START + sum(PARTITIONS.values())


DATA_LINKS = ("data", "boot/firmware", "var/lib/private")
"""Folders over which the boot mounts."""
