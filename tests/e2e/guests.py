"""Small guests for a box: a kernel, busybox, and something that hears the power button or does not."""

from tests.e2e.box import Box

INIT = """\
#!/bin/sh
mount -t proc proc /proc; mount -t sysfs sysfs /sys; mount -t devtmpfs dev /dev
insmod /lib/evdev.ko; insmod /lib/button.ko
echo GUEST READY > /dev/console
[ -e /deaf ] || exec acpid -f -l /dev/console
exec sleep infinity
"""
PRESSED = "#!/bin/sh\npoweroff -f\n"
MAKE = """\
set -e
tree=$(mktemp -d); cd $tree
mkdir -p bin proc sys dev lib etc/acpi/PWRF
cp /bin/busybox bin/; for name in sh mount insmod acpid poweroff sleep; do ln -s busybox bin/$name; done
cp /opt/guest/*.ko lib/; cp /opt/guest/init init; cp /opt/guest/pressed etc/acpi/PWRF/00000080
find . | busybox cpio -o -H newc 2>/dev/null >/opt/guest/hearing
touch deaf; find . | busybox cpio -o -H newc 2>/dev/null >/opt/guest/deaf
"""
DOMAIN = """\
<domain type='qemu'>
  <name>{name}</name><memory unit='MiB'>96</memory>
  <os>
    <type arch='x86_64' machine='pc'>hvm</type>
    <kernel>/opt/guest/vmlinuz</kernel><initrd>/opt/guest/{kind}</initrd>
    <cmdline>console=ttyS0 quiet</cmdline>
  </os>
  <features><acpi/></features>
  <devices>
    <emulator>/usr/bin/qemu-system-x86_64</emulator>
    <serial type='file'><source path='/var/log/{name}.console'/></serial>
    <memballoon model='none'/>
  </devices>
</domain>
"""


def start_libvirt(box: Box) -> None:
    """libvirtd on the box, and what its guests are made of."""
    box.write("/opt/guest/init", INIT, 0o755)
    box.write("/opt/guest/pressed", PRESSED, 0o755)
    box.run(["sh", "-c", MAKE])
    box.run(["systemctl", "start", "libvirtd"])


def define(box: Box, name: str, kind: str = "hearing") -> None:
    """A guest that is off; `kind` "deaf" does not hear its power button."""
    box.write(f"/root/{name}.xml", DOMAIN.format(name=name, kind=kind))
    box.run(["virsh", "--quiet", "define", f"/root/{name}.xml"])


def state(box: Box, name: str) -> str:
    """As virsh has it: "running", "shut off"."""
    return box.run(["virsh", "domstate", name]).stdout.strip()


def has_booted(box: Box, name: str, times: int = 1) -> bool:
    console = box.root / "var/log" / f"{name}.console"
    return console.exists() and console.read_text(errors="replace").count("GUEST READY") >= times
