"""Reads: how a router's `select()` is compiled once, run past the session, and answered as JSON that the database made."""
