"""A shop to look at: what is in it, and its last 90 days."""
