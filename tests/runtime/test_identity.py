"""Settings that say half of an issuer, or cannot be meant, stop the start with a sentence."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from auditlogservice.errors import UnsafeSetup
from auditlogservice.runtime.settings import Settings, load_settings
from running import running

if TYPE_CHECKING:
    from pathlib import Path

ISSUER = "https://id.example"
WHOLE = {"oidc_issuer": ISSUER, "oidc_audience": "auditlog"}


@pytest.mark.parametrize(
    ("told", "named"),
    [
        ({"oidc_issuer": ISSUER}, "AUDITLOG_OIDC_AUDIENCE"),
        ({"oidc_audience": "a"}, "AUDITLOG_OIDC_ISSUER"),
        ({"oidc_client_id": "c"}, "AUDITLOG_OIDC_ISSUER"),
        ({**WHOLE, "oidc_issuer": "http://id.example"}, "AUDITLOG_OIDC_ISSUER"),
        ({**WHOLE, "issuer": ISSUER}, "AUDITLOG_ISSUER"),
        ({**WHOLE, "oidc_scope_map": "auditors"}, "AUDITLOG_OIDC_SCOPE_MAP"),
        ({**WHOLE, "oidc_scope_map": "auditors=everything"}, "AUDITLOG_OIDC_SCOPE_MAP"),
    ],
)
async def test_half_an_issuer_is_refused(tmp_path: Path, told: dict[str, str], named: str) -> None:
    settings = Settings(store="sqlite:///:memory:", data_dir=tmp_path).model_copy(update=told)
    with pytest.raises(UnsafeSetup, match=named):
        async with running(settings):
            pass


@pytest.mark.parametrize("url", ["audit.example", "https://a/b", "https://u@a", "https://a?b"])
def test_the_public_address_is_one_of_a_host(url: str) -> None:
    with pytest.raises(UnsafeSetup, match="AUDITLOG_PUBLIC_URL"):
        load_settings(public_url=url)


def test_the_secret_of_the_client_is_not_shown() -> None:
    settings = Settings(oidc_client_secret="canary")
    assert "canary" not in f"{settings!r} {settings}"
