"""Bellpull: a Linux home server in Apple's Home app."""

__version__ = "0.1.0"
