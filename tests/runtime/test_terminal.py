"""What reaches a terminal is text, whatever a server says."""

from __future__ import annotations

from typing import TYPE_CHECKING

from auditlogservice.runtime.cli.terminal import print_table

if TYPE_CHECKING:
    import pytest


def test_a_cell_is_no_markup_and_moves_no_cursor(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(("Name", "Label"), [("[/]", "[red]a[/red]"), ("\x1b[2J", "b")])
    assert [line.split() for line in capsys.readouterr().out.splitlines()] == [
        ["Name", "Label"],
        ["[/]", "[red]a[/red]"],
        [r"\x1b[2J", "b"],
    ]


def test_numbers_go_to_the_right(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(("State", "Records"), [("held", "7")], numbers=("Records",))
    assert capsys.readouterr().out.splitlines() == ["State  Records", "held         7"]
