"""A fresh Debian as a folder: what a box boots from, built once and kept.

A Debian of our own rather than the machine's root filesystem: the tests then see what
README promises (a fresh machine), the machine keeps its packages and starts no daemon,
and a developer's home is not inside the box.
"""

import fcntl
import hashlib
import os
import shlex
import shutil
import subprocess
import tempfile
from pathlib import Path

RELEASE = "bookworm"  # the oldest Debian that README promises
CACHE = Path("/var/cache/bellpull-tests")

SYSTEM = [
    "systemd-sysv",
    "dbus",
    "polkitd",
    "sudo",
    "libpam-systemd",
    "iproute2",
    "procps",
    "ca-certificates",
]
PROMISED = ["git", "make", "python3-venv"]  # all that README asks of a fresh machine
SERVERS = ["samba", "apache2", "avahi-daemon", "avahi-utils", "nftables"]
SERVERS += ["docker.io", "busybox-static", "openvpn", "wireguard-go", "wireguard-tools", "monit"]
SERVERS += ["libvirt-daemon-system", "libvirt-clients", "qemu-system-x86", "seabios", "ipxe-qemu"]

# A kernel for guests, of which only itself and what hears a power button are kept.
GUEST = """\
cd /opt && mkdir guest && kernel=$(apt-cache depends linux-image-cloud-amd64 |
  sed -n "s/.*Depends: \\(linux-image-[0-9].*-cloud-amd64\\)$/\\1/p") &&
apt-get -qq -o APT::Sandbox::User=root download $kernel && dpkg -x $kernel*.deb all && rm $kernel*.deb &&
find all -name 'vmlinuz-*' -exec mv {} guest/vmlinuz ';' &&
find all '(' -name evdev.ko -o -name button.ko ')' -exec mv {} guest/ ';' && rm -r all"""

# Installed, but a person starts them: a box comes up quiet, in under a second.
DISABLED = [
    *("smbd", "nmbd", "samba-ad-dc", "apache2", "avahi-daemon.service", "avahi-daemon.socket"),
    *("docker.service", "docker.socket", "containerd", "openvpn", "monit"),
    *("libvirtd.service", "libvirtd.socket", "libvirtd-ro.socket", "libvirtd-admin.socket"),
    *("libvirt-guests", "virtlockd.socket", "virtlogd.socket"),
    *("apt-daily.timer", "apt-daily-upgrade.timer", "dpkg-db-backup.timer", "e2scrub_all.timer"),
    *("e2scrub_reap", "fstrim.timer"),
]
# What only makes sense on hardware, or would reach out of the namespaces.
MASKED = [
    *("systemd-udevd.service", "systemd-udevd-control.socket", "systemd-udevd-kernel.socket"),
    *("systemd-udev-trigger.service", "systemd-modules-load.service", "systemd-sysctl.service"),
    *("systemd-timesyncd.service", "systemd-binfmt.service", "proc-sys-fs-binfmt_misc.automount"),
    *("systemd-firstboot.service", "systemd-machine-id-commit.service", "systemd-pstore.service"),
    *("systemd-random-seed.service", "systemd-update-utmp.service", "systemd-remount-fs.service"),
    *("dev-hugepages.mount", "dev-mqueue.mount", "sys-kernel-debug.mount", "sys-kernel-tracing.mount"),
    *("sys-fs-fuse-connections.mount", "sys-kernel-config.mount", "kmod-static-nodes.service"),
    *("getty.target", "systemd-ask-password-wall.path", "systemd-ask-password-console.path"),
]


def debian() -> Path:
    """The folder of the fresh Debian; the first call on a machine builds it (about 30 s).

    Raises subprocess.CalledProcessError with mmdebstrap's words when it cannot be built.
    """
    recipe = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()[:12]
    root = CACHE / f"debian-{recipe}"
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not root.exists():
            _build(root)
    return root


def _build(root: Path) -> None:
    draft = Path(tempfile.mkdtemp(prefix="draft-", dir=CACHE))
    try:
        subprocess.run(
            [
                *("mmdebstrap", "--quiet", "--mode=root", "--variant=minbase"),
                f"--include={','.join(SYSTEM + PROMISED + SERVERS)}",
                f'--customize-hook=chroot "$1" systemctl --quiet disable {" ".join(DISABLED)}',
                f'--customize-hook=chroot "$1" systemctl --quiet mask {" ".join(MASKED)}',
                '--customize-hook=chroot "$1" systemctl --quiet set-default multi-user.target',
                f'--customize-hook=chroot "$1" sh -c {shlex.quote(GUEST)}',
                *(RELEASE, str(draft / "root")),
            ],
            check=True,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
            timeout=900,
        )
        (draft / "root").rename(root)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
