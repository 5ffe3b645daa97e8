"""JSCC-Link: the library that the services and the trainer share."""

__version__ = "0.1.0"
