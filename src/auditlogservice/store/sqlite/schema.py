"""The tables, as steps from one schema version to the next. A step that was released is frozen.

`records.row` grows with each insert, and `sequence` with each insert of a tenant, so that within a
tenant, order by row, by sequence and by timestamp are one order.

`terms` is an FTS5 index without content: for each row the terms of `terms.terms_of`, as one word
each. `detail=none` keeps no positions, which no query needs. `secure-delete` takes the words of an
erased record out at once, and `forgetting` what it leaves; a plain deletion would leave them there
until a merge. Erasing tells the words again, so a change of `terms_of` needs a step that makes the
index anew.
"""

from __future__ import annotations

MIGRATIONS = (
    """
CREATE TABLE tenants (
  number INTEGER PRIMARY KEY,
  name TEXT NOT NULL UNIQUE,
  next_sequence INTEGER NOT NULL,
  last_timestamp INTEGER NOT NULL  -- microseconds since 1970
) STRICT;
CREATE TABLE records (
  row INTEGER PRIMARY KEY,
  id BLOB NOT NULL UNIQUE CHECK (length(id) = 12),
  tenant INTEGER NOT NULL REFERENCES tenants(number),
  sequence INTEGER NOT NULL,
  timestamp INTEGER NOT NULL,
  expires_at INTEGER,              -- as the log entry says it
  commitment BLOB NOT NULL CHECK (length(commitment) = 32),
  salt BLOB,                       -- these three are NULL once erased
  fingerprint BLOB,
  payload BLOB,
  erased_at INTEGER,
  erased_by TEXT,
  erased_why TEXT,
  CHECK ((payload IS NULL) = (erased_at IS NOT NULL)),
  CHECK ((payload IS NULL) = (salt IS NULL) AND (payload IS NULL) = (fingerprint IS NULL))
) STRICT;
CREATE UNIQUE INDEX records_by_sequence ON records (tenant, sequence);
CREATE INDEX records_by_time ON records (tenant, timestamp);
CREATE VIRTUAL TABLE terms USING fts5 (
  words, content='', detail=none,
  tokenize="ascii tokenchars '!#$%&()*+,-./:;<=>?@[\\]^_`{|}~'"
);
INSERT INTO terms (terms, rank) VALUES ('secure-delete', 1);
CREATE TABLE tiles (
  tenant INTEGER NOT NULL REFERENCES tenants(number),
  level INTEGER NOT NULL,
  number INTEGER NOT NULL,
  hashes BLOB NOT NULL,            -- 32 bytes each, up to 256
  PRIMARY KEY (tenant, level, number)
) STRICT;
""",
    """
CREATE TABLE users (
  id TEXT PRIMARY KEY,
  name TEXT NOT NULL UNIQUE,
  tenant TEXT NOT NULL,
  scopes TEXT NOT NULL,
  password_hash TEXT NOT NULL,
  disabled INTEGER NOT NULL,
  created_at INTEGER NOT NULL,
  generation INTEGER NOT NULL
) STRICT;
CREATE TABLE token_keys (
  id TEXT PRIMARY KEY,
  public TEXT NOT NULL,
  expires_at INTEGER NOT NULL
) STRICT;
CREATE TABLE secrets (
  name TEXT PRIMARY KEY,
  value BLOB NOT NULL
) STRICT;
CREATE TABLE checkpoints (
  tenant TEXT PRIMARY KEY,
  size INTEGER NOT NULL,
  note BLOB NOT NULL
) STRICT;
CREATE TABLE documents (
  kind TEXT NOT NULL,
  tenant TEXT NOT NULL,
  id TEXT NOT NULL,
  version INTEGER NOT NULL,
  body BLOB NOT NULL,
  PRIMARY KEY (kind, tenant, id)
) STRICT, WITHOUT ROWID;
""",
    """
CREATE TABLE wiped (
  version INTEGER NOT NULL         -- of the schema, when the gaps of all pages were last wiped
) STRICT;
""",
)
