#!/bin/sh
# Installs what `make test-all` needs of this machine and does not find. Silent when nothing is missing.
set -eu

missing=
need() { command -v "$1" >/dev/null || missing="$missing $2"; }
need mmdebstrap mmdebstrap
need ip iproute2
need nsenter util-linux
need git git
need exiftool libimage-exiftool-perl
need nft nftables
need openvpn openvpn
need openssl openssl
need wg wireguard-tools
need wireguard-go wireguard-go
need dbus-daemon dbus-daemon
[ -z "$missing" ] && exit

if [ "$(id -u)" != 0 ]; then
    echo "make test-all needs root to install$missing and to start servers: sudo make test-all" >&2
    exit 1
fi
if ! command -v apt-get >/dev/null; then
    echo "make test-all needs$missing; install them, then run it again" >&2
    exit 1
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -qq --yes --no-install-recommends $missing >/dev/null
