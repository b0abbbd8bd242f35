"""What talks to a server, and what reads foreign log files. It carries no server code.

- `failures`: what may go wrong between here and a server, as one tree.
- `calls`: `Client`, one method for each call.
- `wire`: one call, with retries that are safe.
- `following`: the log as it grows, across lost connections; `sse`: its messages, purely.
- `entering`: how a program comes in by itself; `tokens`: the API tokens of whoever is in.
- `answers`: what a server said, with the exact bytes of each record; `figures`: counts of them.
- `verifying`: a tenant's log, for an audit; `bundles`: the same in one file, without a server.
- `packing`: a file's bytes in clear.
- `sources`: a file or standard input, as records with their places.
- `shapes`: foreign audit formats told as our events.
- `witness`, `timestamping`: those who are shown checkpoints.
- `provider`: an OpenID provider, for its keys and its codes.
- `foreign`: one request to any of these, within limits.
- `importing`: sources into a server, so that a second run changes nothing.
"""

from auditlogservice.client.calls import Client
from auditlogservice.client.entering import ClientCredentials
from auditlogservice.client.failures import ClientError

__all__ = ["Client", "ClientCredentials", "ClientError"]
