"""A commerce backend for small teams."""

__version__ = "0.1.0"
