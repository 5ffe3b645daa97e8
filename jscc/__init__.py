"""JSCC-Link: the library that the services and the trainer share."""
