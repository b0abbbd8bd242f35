"""The README's tour is typed, line by line, against a server that really runs."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

README = (Path(__file__).parents[1] / "README.md").read_text()
ADDRESS = "http://127.0.0.1:8080"  # as the README says it
END = "---- end of step ----"


@dataclass(frozen=True, slots=True)
class Step:
    """What is typed, and what is shown then; `…` stands for anything."""

    command: str
    shown: str


def steps(text: str) -> list[Step]:
    """The steps of all console blocks: `$ ` begins a command, `> ` continues it."""
    found: list[Step] = []
    for block in re.findall(r"^```console\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        for chunk in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            first, *rest = chunk.splitlines()
            typed = [first]
            while rest and rest[0].startswith("> "):
                typed.append(rest.pop(0).removeprefix("> "))
            found.append(Step("\n".join(typed), "\n".join(rest)))
    return found


def is_as_shown(shown: str, printed: str) -> bool:
    pattern = ".*".join(re.escape(part) for part in shown.split("…"))
    return re.fullmatch(pattern, printed, re.DOTALL) is not None


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """The address of a server over the default folder in `tmp_path`, and an environment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    # Nothing of the tester's own settings: a person starts with an empty home.
    path = os.environ["PATH"]  # noqa: TID251 - where bash and curl are
    environment = {"HOME": str(tmp_path), "PATH": f"{Path(sys.executable).parent}:{path}"}
    url = f"http://127.0.0.1:{port}"
    with subprocess.Popen(
        ["auditlogservice", "serve", "--port", str(port)],
        cwd=tmp_path,
        env=environment,
        executable=str(Path(sys.executable).parent / "auditlogservice"),
    ) as process:
        try:
            wait_until_ready(url, process)
            yield url, environment
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(20)


def wait_until_ready(url: str, process: subprocess.Popen[bytes]) -> None:
    for _ in range(300):
        with contextlib.suppress(OSError), urllib.request.urlopen(f"{url}/readyz"):
            return
        assert process.poll() is None, "the server has ended"
        time.sleep(0.1)
    pytest.fail("the server is not ready after 30 s")


def test_the_tour_goes_as_the_readme_says(
    server: tuple[str, dict[str, str]], tmp_path: Path
) -> None:
    url, environment = server
    tour = steps(README)
    script = "set -euo pipefail\n" + "".join(
        f"{step.command.replace(ADDRESS, url)}\nprintf '\\n%s\\n' '{END}'\n" for step in tour
    )
    run = subprocess.run(
        ["bash", "-c", script],
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    printed = [part.strip() for part in run.stdout.split(END)[:-1]]
    wrong = [
        (step.command, step.shown, output)
        for step, output in zip(tour, printed, strict=False)
        if not is_as_shown(step.shown, output)
    ]
    assert (run.returncode, len(printed), wrong) == (0, len(tour), []), run.stdout


def test_the_readme_has_a_tour() -> None:
    assert len(steps(README)) >= 12


def test_what_is_shown_is_compared() -> None:
    assert steps("```console\n$ echo a \\\n> b\nab…\n$ true\n```\n") == [
        Step("echo a \\\nb", "ab…"),
        Step("true", ""),
    ]
    assert is_as_shown('{"_id":"…","n":1}', '{"_id":"64af","n":1}')
    assert not is_as_shown('{"_id":"…","n":1}', '{"_id":"64af","n":2}')
