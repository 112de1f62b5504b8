#!/bin/sh
# The first process of a box's namespaces: lays the filesystems and becomes systemd.
# usage: init.sh STATE LAYERS NAME [SOURCE:TARGET ...]      (read-only binds)
set -eu
state=$1 layers=$2 name=$3; shift 3
root=$state/root

mount --make-rprivate /
mount -t overlay box -o "lowerdir=$layers,upperdir=$state/upper,workdir=$state/work" "$root"

mount -t proc -o nosuid,nodev,noexec proc "$root/proc"
# The network settings are the box's own; the other settings of the kernel are the machine's.
mount --bind "$root/proc/sys" "$root/proc/sys"
mount -o remount,bind,ro "$root/proc/sys"
mount --bind /proc/sys/net "$root/proc/sys/net"
mount -t sysfs -o ro,nosuid,nodev,noexec sysfs "$root/sys"
mount -t cgroup2 -o nosuid,nodev,noexec cgroup2 "$root/sys/fs/cgroup"

mount -t tmpfs -o mode=755,nosuid dev "$root/dev"
for device in null zero full random urandom tty; do cp -a "/dev/$device" "$root/dev/$device"; done
mkdir "$root/dev/net" "$root/dev/pts" "$root/dev/shm" "$root/dev/mqueue"
if [ -e /dev/net/tun ]; then cp -a /dev/net/tun "$root/dev/net/tun"; fi
mount -t devpts -o newinstance,ptmxmode=0666,mode=620,gid=5 devpts "$root/dev/pts"
mount -t tmpfs -o mode=1777 shm "$root/dev/shm"
ln -s pts/ptmx "$root/dev/ptmx"
ln -s /proc/self/fd "$root/dev/fd"
ln -s fd/0 "$root/dev/stdin"; ln -s fd/1 "$root/dev/stdout"; ln -s fd/2 "$root/dev/stderr"
: > "$root/dev/console"; mount --bind "$state/console" "$root/dev/console"

mount -t tmpfs -o mode=755 run "$root/run"
mount -t tmpfs -o mode=1777 tmp "$root/tmp"

for bind in "$@"; do
    target=$root${bind#*:}
    if [ -d "${bind%%:*}" ]; then mkdir -p "$target"; else mkdir -p "${target%/*}"; : >> "$target"; fi
    mount --bind "${bind%%:*}" "$target"
    mount -o remount,bind,ro "$target"
done

hostname "$name"
echo "$name" > "$root/etc/hostname"
printf '127.0.0.1 localhost\n127.0.1.1 %s\n' "$name" > "$root/etc/hosts"  # sudo looks its host up
rm -rf "$root/var/log/journal"  # a journal in /run: no test waits for a disk

cd "$root"
mkdir -p .old
pivot_root . .old
umount -l /.old
rmdir /.old
exec env -i container=box PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 \
    /lib/systemd/systemd --show-status=0 --log-target=journal-or-kmsg </dev/null >/dev/console 2>&1
