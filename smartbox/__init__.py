"""smartbox: the firmware of an edge AI box."""

__version__ = "0.1.0"
