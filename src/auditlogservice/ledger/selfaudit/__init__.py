"""The service under its own eyes: what it did and let be done, as records in the same log."""
