"""The addresses, one module a noun. A route reads, calls the ledger, and writes; no more."""
