"""`python -m bench.limits.framework PORT`: the framework alone.

It takes the same bodies as the service, on the same server, checks them as FastAPI does, by a
model, and answers what it was told. It knows no users and keeps nothing.
"""

from __future__ import annotations

import sys

import uvicorn
from fastapi import FastAPI, Response

from auditlogservice.runtime.http import BoundedHttp
from bench.naive.app import Event  # noqa: TC001 - FastAPI reads it

app = FastAPI()


@app.post("/events", status_code=201)
async def take(event: Event) -> Response:
    return Response(event.model_dump_json(), 201, media_type="application/json")


if __name__ == "__main__":
    uvicorn.run(
        app, host="127.0.0.1", port=int(sys.argv[1]), http=BoundedHttp, access_log=False, ws="none"
    )
