"""A self-hosted audit log. This page is the map: one sentence a module, in reading order.

The vocabulary: pure values and functions, no I/O, no clock, no randomness.

- `errors`: every failure raised on purpose, as one tree.
- `damage`: what a store gives back that was never put in, as a failure of ours.
- `canonical`: JSON strict in, one spelling out (RFC 8785).
- `times`: moments as text (RFC 3339).
- `hashing`: SHA-256 of what is recorded.
- `validation`: values against models, with a pointer for each flaw.
- `events`: an event as told, a draft on its way in, a record as kept.
- `filters`: questions about records, and the pure `matches()` that decides them.
- `asked`: what is asked of an index of terms, before a store puts it into its own language.
- `terms`: the index of records, and which part of it a question asks for.
- `bounds`: where in a log everything that a question asks for lies.
- `glance`: what must stand in the bytes of a record that a question asks for.
- `language`: the same questions as people and programs write them: the `q` text, JSON documents.
- `merkle`: the tree of a log: its hashes, its right edge, proofs and their verification.
- `tiles`: the same tree as tiles: how they grow, what a proof needs of them, their paths.
- `notes`: signed notes: their text, the keys that sign, and whose signature holds.
- `checkpoints`: what a log says of its tree, as a note, and the proofs that carry one.
- `anchors`: what witnesses and timestamp authorities answer, and what of it is kept.
- `entries`: what the tree holds of a record: a commitment in the place of the content.
- `redaction`: what is taken out of an event before anything of it is kept, and by which rules.
- `leaks`: what in an event looks like a secret.
- `governance`: legal holds, retention rules and erasures, as values.
- `auditing`: whether a log is what it says: a state for each place, judged from any source.
- `budgets`: how much a caller may use, and where it stands.
- `access`: users, tenants, scopes, and a caller who was checked.

What touches the world:

- `store`: where records and users are kept; `port` is the contract that both adapters keep.
- `ledger`: what is done, in order: events become records, people prove who they are.
- `web`: the HTTP API.
- `client`: what talks to a server, and what reads foreign log files; no server code in it.
- `runtime`: settings, logs, metrics, the command line, and the one place where things are built.
"""

__version__ = "0.1.0"
