"""The worker: what the shop does beside requests."""
