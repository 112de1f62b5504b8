"""The only package that knows HomeKit and HAP-python."""

from bridge.homekit.faces import Companion
from bridge.homekit.homekit import HomeKit, HomeKitError, Settings

__all__ = ["Companion", "HomeKit", "HomeKitError", "Settings"]
