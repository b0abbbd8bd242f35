"""Records in the formats that others read. Pure: records in, bytes out, no I/O and no clock.

`known` lists them. NDJSON and Parquet lose nothing, CSV loses the difference between a text and
one that had to be made harmless; CEF, OCSF and ECS are mappings, each a table in its module, and
keep what they have no field for in one place of its own. docs/export.md says it for users.
"""
