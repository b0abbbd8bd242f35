"""Values against models: what Pydantic finds, in our words."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from pydantic import BaseModel, ValidationError

from auditlogservice.canonical import pointer_to
from auditlogservice.errors import Flaw, InvalidInput

if TYPE_CHECKING:
    from auditlogservice.canonical import Json

Model = TypeVar("Model", bound=BaseModel)

_UNION_ARMS = frozenset({"str", "Entity"})  # steps that Pydantic adds, and no document has


def validate(model: type[Model], value: Json) -> Model:
    """Return the value as a model; raise InvalidInput with one flaw for each place."""
    try:
        return model.model_validate(value)
    except ValidationError as error:
        flaws: dict[str, Flaw] = {}
        for found in error.errors(include_url=False, include_input=False):
            field, within = found["loc"][:1], found["loc"][1:]
            pointer = pointer_to(*field, *(step for step in within if step not in _UNION_ARMS))
            flaws.setdefault(pointer, Flaw(pointer, found["msg"].removeprefix("Value error, ")))
        raise InvalidInput(list(flaws.values())) from None
