"""What makes a log provable: signatures, proofs, witnesses, timestamps, audits of the store."""
