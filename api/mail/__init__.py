"""Mail: what stands in it, how it is sent, and where its links lead."""
