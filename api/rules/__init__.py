"""The rules of the shop that write two or more tables, or serve two or more routers. They know nothing of HTTP."""
