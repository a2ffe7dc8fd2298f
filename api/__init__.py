"""A commerce backend for small teams."""

import gc

__version__ = "0.1.0"

# What is made while the shop is imported stays. Python's own threshold of 700 objects has the collector look through it
# again and again, for a tenth of the time of a start.
gc.set_threshold(10_000, 20, 100)
