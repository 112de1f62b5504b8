"""The only package that knows HomeKit and HAP-python."""

from bridge.homekit.faces import Companion
from bridge.homekit.homekit import HomeKit, HomeKitError, Settings
from bridge.homekit.identity import is_setup_code

__all__ = ["Companion", "HomeKit", "HomeKitError", "Settings", "is_setup_code"]
