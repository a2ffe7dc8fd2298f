"""How fast the shop is. Nothing here is a test: figures depend on the machine, so only those of one run compare."""
