#!/bin/sh
# `sudo make uninstall`: takes back what install.sh put here; with PURGE=1 configuration, state and user too.
set -eu
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
cd /

[ "$(id -u)" = 0 ] || { echo "uninstall: this needs root: sudo make uninstall" >&2; exit 1; }

if [ -d /run/systemd/system ]; then
    systemctl --quiet disable --now bellpull 2>/dev/null || true # it was never started
fi
# First of all the privilege.
rm -f /etc/sudoers.d/bellpull /etc/bellpull/policy.json
rm -f /usr/local/lib/systemd/system/bellpull.service
if [ "$(readlink /usr/local/bin/bellpull)" = /opt/bellpull/venv/bin/bellpull ]; then
    rm -f /usr/local/bin/bellpull
fi
rm -rf /opt/bellpull
if [ -d /run/systemd/system ]; then
    systemctl daemon-reload
fi

if [ "${PURGE:-}" = 1 ]; then
    rm -rf /etc/bellpull /var/lib/bellpull /run/bellpull
    rm -f /usr/local/lib/sysusers.d/bellpull.conf
    if getent passwd bellpull >/dev/null; then userdel bellpull; fi
    if getent group bellpull >/dev/null; then groupdel bellpull; fi
    echo "Uninstalled, with configuration, pairings and user. Remove the bridge in the Home app too."
else
    echo "Uninstalled. Left here: /etc/bellpull (configuration), /var/lib/bellpull (pairings, journal) and user bellpull."
    echo "To remove these as well: sudo make uninstall PURGE=1"
fi
