"""The database: its engine, the sessions, the slots for writes, and what its errors mean."""
