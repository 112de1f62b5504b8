"""`bellpull vpn`: prepares this machine for a VPN tile, and says which way its packets go.

Runs as root from the command line, never in the bridge: the Docker SDK is imported here only.
"""
