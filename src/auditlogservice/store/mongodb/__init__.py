"""The store contract over a MongoDB replica set or sharded cluster, natively.

Any number of processes write to one database. What keeps them in order is the unique index on
(tenant, sequence), a compare-and-swap across processes; there is no lease and no clock in it.

Reading order: `schema` (what is kept, under which names), `documents` (values to documents and
back), `failures` (the driver's errors in our words), `deadline` (until when), `connection` (what
is refused at start), `appending` and `stalled` (writing), `lookups`, `searching`, `places` and
`paging` (questions), `events` (the event store), `accounts`, `opening` (all of it, for
`runtime.stores`).
"""

from auditlogservice.store.mongodb.accounts import MongoAccountStore
from auditlogservice.store.mongodb.events import MongoEventStore
from auditlogservice.store.mongodb.opening import MongoStore, open_mongodb

__all__ = ["MongoAccountStore", "MongoEventStore", "MongoStore", "open_mongodb"]
