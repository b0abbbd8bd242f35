"""What is measured. Each module has one function that is given the `Field` and fills its book.

In the order of a run: `growing` fills the logs and asks while they grow; `reading` compares with
the naive service; `exporting`, `verifying`, `batching`, `posting` and `sealing` say the rest about
one process; `spreading` is about several, `pressing` about too much at once.
"""
