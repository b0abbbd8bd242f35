"""The question language: filters as text (`q`) and as JSON documents, read and written.

`parse_text` and `to_text` are each other's inverse, and so are `parse_document` and
`to_document`, for every normal filter: one that is made by `all_of`, `any_of` and the functions
of `conditions`, as all parsers here make theirs. In a normal filter, words are as `words_of`
spells them, a backslash in a pattern stands before `*`, `?` or another backslash only, and what
a time field is compared with is a moment as `format_utc` spells it.

Texts of callers are read in time linear in their length for each level of nesting, and nesting
has a limit. Nothing here knows a store.
"""

from auditlogservice.language.conditions import (
    MAX_NESTING,
    NAMES,
    TIMES,
    condition,
    nesting_of,
    read_moment,
)
from auditlogservice.language.document import parse_document, to_document
from auditlogservice.language.printing import to_text
from auditlogservice.language.size import (
    MAX_CONDITIONS,
    MAX_PATTERN,
    MAX_PATTERNS,
    MAX_WORDS,
    check_size,
)
from auditlogservice.language.text import MAX_TEXT, parse_text

__all__ = [
    "MAX_CONDITIONS",
    "MAX_NESTING",
    "MAX_PATTERN",
    "MAX_PATTERNS",
    "MAX_TEXT",
    "MAX_WORDS",
    "NAMES",
    "TIMES",
    "check_size",
    "condition",
    "nesting_of",
    "parse_document",
    "parse_text",
    "read_moment",
    "to_document",
    "to_text",
]
