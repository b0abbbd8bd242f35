"""The formats we know: how to recognise one, tell it, and name a record of it.

`recognise` looks at each record by itself, so that one file may hold several formats.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from auditlogservice.client.shapes import (
    auditd,
    cloudevents,
    cloudtrail,
    kubernetes,
    native,
    windows,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from auditlogservice.client.shapes.fields import Row, Told


@dataclass(frozen=True, slots=True)
class Shape:
    """One format. No function of it ever raises, whatever the record holds.

    `natural_id` is the source's own name for the record; empty if it gave none.
    """

    name: str
    fits: Callable[[Row], bool]
    tell: Callable[[Row], Told]
    natural_id: Callable[[Row], str]


# In the order of asking: those that say what they are first.
SHAPES = (
    Shape("native", native.is_native, native.tell, native.natural_id),
    Shape("cloudevents", cloudevents.is_cloudevent, cloudevents.tell, cloudevents.natural_id),
    Shape("kubernetes", kubernetes.is_kubernetes, kubernetes.tell, kubernetes.natural_id),
    Shape("cloudtrail", cloudtrail.is_cloudtrail, cloudtrail.tell, cloudtrail.natural_id),
    Shape("auditd", auditd.is_auditd, auditd.tell, auditd.natural_id),
    Shape("windows", windows.is_windows, windows.tell, windows.natural_id),
)
NATIVE_ROW = Shape("native", native.is_native, native.tell_row, native.natural_id)
BY_NAME = {shape.name: shape for shape in SHAPES}


def recognise(record: Row) -> Shape | None:
    """Return the format of this record; None if it is none that we know."""
    return next((shape for shape in SHAPES if shape.fits(record)), None)
