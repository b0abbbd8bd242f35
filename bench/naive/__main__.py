"""`python -m bench.naive mongodb://… PORT`: run it, with one process, as it would be run."""

from __future__ import annotations

import sys

import uvicorn

from bench.naive.app import create_app

if __name__ == "__main__":
    database, port = sys.argv[1:]
    uvicorn.run(create_app(database), host="127.0.0.1", port=int(port))
