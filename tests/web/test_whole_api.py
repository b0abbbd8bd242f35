"""Whatever the OpenAPI document allows, and what it forbids, is answered as it says, and soon.

Schemathesis makes the calls out of the document: each by itself, and after one another along its
links. What the answer is may be wrong all the same; that is for the other tests.
"""

from __future__ import annotations

import asyncio
import copy
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import hypothesis
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed
from hypothesis.errors import FlakyStrategyDefinition
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import FailureGroup
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    ensure_resource_availability,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    use_after_free,
)

from auditlogservice.runtime.settings import Settings
from auditlogservice.web import logins
from running import running
from served import served

if TYPE_CHECKING:
    from pathlib import Path

    from schemathesis import Case
    from schemathesis.core.transport import Response

MAX_SECONDS = 5.0  # that a call may take, on a machine with other things to do
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
ALONG_LINKS = [*CHECKS, use_after_free, ensure_resource_availability]
# A stream has no end by itself; tests/web/test_follow.py is about it.
ENDLESS = "/events/stream"


@dataclass
class Fuzzer:
    """Calls a service with what schemathesis makes up, as a user with all scopes.

    Flaws are collected: raised, they would be looked for again by a library that takes it that
    the same calls have the same answers, and a service remembers the calls before.
    """

    schema: Any
    url: str
    user: dict[str, str]
    session: requests.Session
    answered: Counter[int] = field(default_factory=Counter)
    flaws: dict[str, str] = field(default_factory=dict)

    def call(self, case: Case[Any]) -> Response:
        if isinstance(case.query, dict):
            case.query.pop("wait", None)  # a feed does wait
            case.query.pop("tenant", None)  # a made-up one is not there, and would be all we ask
        answer = case.call(self.url, session=self.session, headers=self.user, timeout=60)
        self.answered[answer.status_code] += 1
        if answer.elapsed > MAX_SECONDS:
            self.flaws[f"{case.operation.label} is slow"] = case.as_curl_command()
        return answer

    def check(self, case: Case[Any], answer: Response, **more: Any) -> None:
        try:
            case.validate_response(answer, **more)
        except FailureGroup as group:
            for flaw in group.exceptions:
                self.flaws[f"{case.operation.label}: {flaw!r}"] = case.as_curl_command()

    def alone(self, mode: GenerationMode, cases: int) -> None:
        @seed(0)
        @settings(cases)
        @given(case=self.schema.as_strategy(generation_mode=mode))
        def run(case: Case[Any]) -> None:
            self.check(case, self.call(case), checks=CHECKS)

        run()

    def along_links(self, scenarios: int) -> None:
        fuzzer = self

        class Scenario(self.schema.as_state_machine()):  # type: ignore[misc] # made at run time
            def call(self, case: Case[Any], **_: Any) -> Response:
                return fuzzer.call(case)

            def validate_response(self, answer: Response, case: Case[Any], **_: Any) -> None:
                fuzzer.check(case, answer, checks=ALONG_LINKS, recorder=self.recorder)

        for number in range(scenarios // PER_RUN):
            # What is there already changes what can follow, which hypothesis takes for a flaw.
            with suppress(FlakyStrategyDefinition):
                seed(number)(Scenario).run(settings=settings(PER_RUN, stateful_step_count=8))


PER_RUN = 5


def settings(cases: int, **more: Any) -> hypothesis.settings:
    return hypothesis.settings(
        max_examples=cases,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
        **more,
    )


@pytest.mark.parametrize(
    ("cases", "scenarios"),
    [
        (120, 25),
        pytest.param(3_500, 400, marks=[pytest.mark.deep, pytest.mark.timeout(3_600)]),
    ],
)
async def test_no_call_is_answered_otherwise_than_the_document_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cases: int, scenarios: int
) -> None:
    monkeypatch.setattr(logins, "REFUSAL_DELAY", 0.0)
    node = Settings(store="sqlite:///:memory:", data_dir=tmp_path, min_free_bytes=0)
    async with running(node) as api, served(api, node) as port:
        document = copy.deepcopy(api.app.openapi())  # schemathesis adds links of its own
        schema = schemathesis.openapi.from_dict(document).exclude(path=ENDLESS)
        user = await api.add("fuzzer")
        with requests.Session() as session:
            fuzzer = Fuzzer(schema, f"http://127.0.0.1:{port}", user, session)
            for mode in GenerationMode.POSITIVE, GenerationMode.NEGATIVE:
                await asyncio.to_thread(fuzzer.alone, mode, cases)
            await asyncio.to_thread(fuzzer.along_links, scenarios)
    assert fuzzer.flaws == {}
    assert fuzzer.answered.total() >= 2 * cases
    assert {200, 201, 204} <= fuzzer.answered.keys()
