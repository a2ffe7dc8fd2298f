"""Who is asking: passwords, tokens, the caller of a request, and throttling."""
