"""Whether a log is what it says it is: judged from what a source gives, wherever it has it from.

Nothing here does I/O: a source does, over HTTP, from a file, or from a store.

- `findings`: the state of each place, what is wrong, and the report of it all.
- `places`: places that are not settled yet, in little memory.
- `audit`: the judgement, stretch by stretch, in one pass.
- `proceeding`: the way through a source: checkpoints, stretches, tiles, another look.
- `served`: the source that reads files with the paths of the HTTP API.
"""
