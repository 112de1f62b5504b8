#!/bin/sh
# `sudo make install`: puts this checkout on the machine. Run again, it renews the code and repairs the rest.
set -eu
umask 022
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
cd "$(dirname "$0")/.."

opt=/opt/bellpull
venv=$opt/venv
link=/usr/local/bin/bellpull
config=/etc/bellpull/config.yaml

fail() { echo "install: $*" >&2; exit 1; }

[ "$(id -u)" = 0 ] || fail "this needs root: sudo make install"
for program in sudo visudo systemd-sysusers runuser; do
    command -v $program >/dev/null || fail "$program is not on this machine; install it first"
done
if [ -e $link ] && [ "$(readlink $link)" != $venv/bin/bellpull ]; then
    fail "$link is somebody else's; move it away first"
fi

make_user() {
    install -D -m 644 systemd/bellpull.sysusers /usr/local/lib/sysusers.d/bellpull.conf
    systemd-sysusers bellpull.conf
}

# Root runs this interpreter and the service's user too: it must be root's alone, and within that user's reach.
find_python() {
    for python in /usr/bin/python3 /usr/bin/python3.1[1-9] /usr/local/bin/python3; do
        real=$(readlink -e $python) || continue
        [ "$(stat -c %u "$real")" = 0 ] || continue
        case $(stat -c %A "$real") in ?????w????|????????w?) continue ;; esac
        runuser -u bellpull -- $python -I -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || continue
        echo $python
        return
    done
    fail "no Python 3.11 or later of root's own; install python3"
}

# What an earlier hand left open is not built upon.
make_venv() {
    if [ -n "$(find $opt '(' ! -uid 0 -o ! -type l -perm /022 ')' -print -quit)" ]; then
        rm -rf $opt
        install -d -m 755 $opt
    fi
    python=$(find_python)
    $python -I -c 'import ensurepip' 2>/dev/null || fail "$python cannot make virtual environments; install python3-venv"
    want=$($python -I -c 'import sys; print(sys.version)')
    if [ "$($venv/bin/python3 -I -c 'import sys, pip; print(sys.version)' 2>/dev/null)" != "$want" ]; then
        $python -m venv --clear $venv
    fi
}

pip() {
    (cd / && $venv/bin/python3 -I -m pip install --quiet --disable-pip-version-check --no-input --use-pep517 \
        --root-user-action=ignore --no-cache-dir "$@")
}

# From a copy, because building leaves traces, and the checkout may be somebody's who works in it.
install_code() {
    copy=$(mktemp -d)
    trap 'rm -rf "$copy"' EXIT
    cp -R --no-preserve=all pyproject.toml README.md bridge accessories "$copy"
    pip --only-binary=numpy,opencv-python-headless,pyvips-binary "$copy[scans]" || {
        echo "install: the libraries that split scans are not to be had for this machine; the rest goes on" >&2
        pip "$copy"
    }
    ln -sfn $venv/bin/bellpull $link
}

# -I and -S: no environment, no site packages; -X utf8: the caller's locale is not asked.
install_helper() {
    package=$(cd / && $venv/bin/python3 -I -c 'import bridge; print(bridge.__path__[0])')
    install -d -m 755 $opt/libexec
    cat >$opt/libexec/bellpull-helper.new <<END
#!$venv/bin/python3 -ISXutf8
import gc
import os
import sys

gc.disable()  # a person waits: nothing is tidied up in a process that lives for a moment
sys.path.append("$package")
from helper.main import main

os._exit(main(sys.argv[1:]))
END
    cat >$opt/libexec/bellpull-router.new <<END
#!$venv/bin/python3 -ISXutf8
import sys

sys.path.append("$package")
from helper.serving import main

sys.exit(main())
END
    for program in bellpull-helper bellpull-router; do
        chmod 755 $opt/libexec/$program.new
        mv $opt/libexec/$program.new $opt/libexec/$program
    done
}

install_unit() {
    for unit in bellpull.service bellpull-router.service bellpull-scans.service; do
        install -D -m 644 systemd/$unit /usr/local/lib/systemd/system/$unit
    done
    if [ -d /run/systemd/system ]; then
        systemctl daemon-reload
        systemctl try-restart bellpull-router
    fi
}

configure() {
    install -d -m 755 /etc/bellpull
    [ -e $config ] || $venv/bin/bellpull --config $config init
    chown root:bellpull $config
    chmod 640 $config
    $venv/bin/bellpull --config $config apply ||
        fail "installed, but root allows nothing new: correct $config, then run: sudo bellpull apply"
}

make_user
install -d -m 755 $opt
make_venv
install_code
install_helper
install_unit
configure

if [ -d /run/systemd/system ] && systemctl --quiet is-active bellpull; then
    echo "Installed. The bridge that runs is still the old one: sudo systemctl restart bellpull"
else
    cat <<END
Installed. Two steps are left:
  sudo systemctl enable --now bellpull    start it, now and at every boot
  sudo bellpull pair                      show the code for the Home app
END
fi
