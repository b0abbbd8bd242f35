"""The HTTP API: bodies in, problems out, nothing decided here."""
