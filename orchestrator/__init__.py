"""A daemon that runs a browser-driven publishing pipeline on one small machine."""

__version__ = "0.1.0"
