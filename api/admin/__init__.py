"""The admin at /admin: pages for staff, made on the server. It reads by itself, and changes rows through the API."""
