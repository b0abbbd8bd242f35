#!/bin/sh
# Writes the hashed lock files again from pyproject.toml. Arguments go to uv, e.g. --upgrade.
# Extras stay in the lock: of `coverage[toml]` pip would look for a newer version than the one that
# is locked as `coverage`, find that it has no hash, and stop.
# The order matters: each lock keeps the versions of those before it, so that one virtual
# environment can hold all of them.
set -eu
cd "$(dirname "$0")/.."
export UV_PYTHON_DOWNLOADS=never
lock() {
  out=requirements/$1
  shift
  uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
    --no-strip-extras --custom-compile-command 'make lock' "$@" -o "$out"
}
lock server.txt pyproject.toml --extra mongodb "$@"
lock build.txt --group pyproject.toml:build --constraint requirements/server.txt "$@"
lock dev.txt pyproject.toml --extra mongodb --group dev \
  --constraint requirements/server.txt --constraint requirements/build.txt "$@"
