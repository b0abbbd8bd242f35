"""What is measured. Each module has one function that is given the `Field` and fills its book.

In the order of a run: `growing` fills the logs and asks while they grow; `reading` compares with
the naive service; `exporting`, `verifying`, `batching` and `posting` say how fast one process is,
`sealing` what the ledger costs in it, `lagging` how soon it signs; `spreading` is about several
processes, `storing` about the room that records take, `pressing` about too much at once.
"""
