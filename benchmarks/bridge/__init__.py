"""How fast and how small the bridge is, on a real systemd: `make bench-bridge`, as root."""
