"""Reads: a router's `select()`, compiled once, run past the session, and answered as JSON that the database writes."""
