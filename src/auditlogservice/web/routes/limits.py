"""How much is too much: every bound that a caller can meet, from where it is kept."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response

from auditlogservice.canonical import MAX_DEPTH, MAX_KEY_BYTES, MAX_KEYS
from auditlogservice.events import MAX_AHEAD, MAX_EVENT_BYTES, MAX_IDEMPOTENCY_KEY
from auditlogservice.governance import MAX_DAYS, MAX_ERASURES, MAX_HOLDS, MAX_REASON, MAX_RULES
from auditlogservice.language.conditions import MAX_NESTING
from auditlogservice.language.size import MAX_CONDITIONS, MAX_PATTERN, MAX_PATTERNS, MAX_WORDS
from auditlogservice.language.text import MAX_TEXT
from auditlogservice.leaks import MAX_FLAGS
from auditlogservice.ledger.batches import MAX_ATOMIC_WEIGHT
from auditlogservice.ledger.governing.quotas import MAX_QUOTA
from auditlogservice.ledger.identity.apitokens import MAX_ACTIVE, MAX_API_TOKENS
from auditlogservice.ledger.identity.clients import MAX_SECRETS
from auditlogservice.ledger.identity.labels import MAX_API_TOKEN_DAYS, MAX_LABEL
from auditlogservice.ledger.records import MAX_LIMIT
from auditlogservice.ledger.statistics import COUNT_CAP, HISTOGRAM_CAP, MAX_BUCKETS
from auditlogservice.redaction import MAX_REDACTION_RULES, MAX_REDACTIONS_TOLD
from auditlogservice.web.answers import json_answer
from auditlogservice.web.bodies import (
    MAX_BATCH_BYTES,
    MAX_FORM_BYTES,
    MAX_GOVERNING_BYTES,
    MAX_SEARCH_BYTES,
    MAX_USER_BYTES,
)
from auditlogservice.web.documents import answers
from auditlogservice.web.questions import DEFAULT_LIMIT
from auditlogservice.web.routes.batches import MAX_BATCH_EVENTS
from auditlogservice.web.routes.follow import MAX_WAIT
from auditlogservice.web.routes.lists import MAX_FACETS

router = APIRouter(tags=["service"])

LIMITS = {
    "event_bytes": MAX_EVENT_BYTES,
    "batch_bytes": MAX_BATCH_BYTES,
    "batch_events": MAX_BATCH_EVENTS,
    "atomic_batch_weight": MAX_ATOMIC_WEIGHT,
    "search_bytes": MAX_SEARCH_BYTES,
    "form_bytes": MAX_FORM_BYTES,
    "user_bytes": MAX_USER_BYTES,
    "governing_bytes": MAX_GOVERNING_BYTES,
    "nesting_depth": MAX_DEPTH,
    "object_keys": MAX_KEYS,
    "key_bytes": MAX_KEY_BYTES,
    "occurred_at_ahead_seconds": int(MAX_AHEAD.total_seconds()),
    "idempotency_key_characters": MAX_IDEMPOTENCY_KEY,
    "reason_characters": MAX_REASON,
    "client_secrets": MAX_SECRETS,
    "api_tokens": MAX_API_TOKENS,
    "api_tokens_of_a_label": MAX_ACTIVE,
    "api_token_days": MAX_API_TOKEN_DAYS,
    "label_characters": MAX_LABEL,
    "page_default": DEFAULT_LIMIT,
    "page_max": MAX_LIMIT,
    "q_characters": MAX_TEXT,
    "filter_conditions": MAX_CONDITIONS,
    "phrase_words": MAX_WORDS,
    "pattern_characters": MAX_PATTERN,
    "patterns_characters": MAX_PATTERNS,
    "filter_nesting": MAX_NESTING,
    "wait_seconds": MAX_WAIT,
    "count_records": COUNT_CAP,
    "histogram_records": HISTOGRAM_CAP,
    "histogram_buckets": MAX_BUCKETS,
    "facet_values": MAX_FACETS,
    "erasures": MAX_ERASURES,
    "holds": MAX_HOLDS,
    "retention_rules": MAX_RULES,
    "retention_days": MAX_DAYS,
    "redaction_rules": MAX_REDACTION_RULES,
    "redactions_told": MAX_REDACTIONS_TOLD,
    "flags": MAX_FLAGS,
    "events_per_day": MAX_QUOTA,
}


@router.get(
    "/limits",
    summary="How much is too much?",
    responses={200: answers("Every limit, in bytes, seconds or pieces", {"type": "object"})},
)
async def read_limits() -> Response:
    return json_answer(LIMITS)
