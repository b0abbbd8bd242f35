"""An audit log service as it is usually written: what a user would otherwise have.

Nothing in it is slow on purpose. It is FastAPI with synchronous PyMongo, as in the tutorials of
both: one insert and one read for each event, one lookup of the user for each request, lists by
`find(…).limit(100)`, the default write concern, and no index but that of `_id`.
"""
