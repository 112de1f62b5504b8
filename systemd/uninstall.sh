#!/bin/sh
# `sudo make uninstall`: takes back what install.sh put here; with PURGE=1 configuration, state and user too.
set -eu
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
cd /

[ "$(id -u)" = 0 ] || { echo "uninstall: this needs root: sudo make uninstall" >&2; exit 1; }

if [ -d /run/systemd/system ]; then
    systemctl --quiet disable --now bellpull bellpull-router 2>/dev/null || true # they were never started
    systemctl --quiet stop bellpull-scans 2>/dev/null || true
fi
# First of all the privilege.
rm -f /etc/sudoers.d/bellpull /etc/bellpull/policy.json
for unit in bellpull bellpull-router bellpull-scans; do
    rm -f /usr/local/lib/systemd/system/$unit.service
done
rm -rf /etc/systemd/system/bellpull-scans.service.d /etc/bellpull/scans.json
if [ "$(readlink /usr/local/bin/bellpull)" = /opt/bellpull/venv/bin/bellpull ]; then
    rm -f /usr/local/bin/bellpull
fi
rm -rf /opt/bellpull
if [ -d /run/systemd/system ]; then
    systemctl daemon-reload
fi

if [ "${PURGE:-}" = 1 ]; then
    rm -rf /etc/bellpull /var/lib/bellpull /var/lib/bellpull-vpn /run/bellpull /run/bellpull-vpn
    rm -f /usr/local/lib/sysusers.d/bellpull.conf
    for user in bellpull bellpull-scans; do
        if getent passwd $user >/dev/null; then userdel $user; fi
        if getent group $user >/dev/null; then groupdel $user; fi
    done
    echo "Uninstalled, with configuration, pairings and user. Remove the bridge in the Home app too."
else
    echo "Uninstalled. Left here: /etc/bellpull (configuration), /var/lib/bellpull (pairings, journal) and users bellpull and bellpull-scans."
    echo "To remove these as well: sudo make uninstall PURGE=1"
fi
