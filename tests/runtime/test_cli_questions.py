"""Asking, following and taking home at the command line, against a small server."""

from __future__ import annotations

import io
import json
import os
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import pytest
from rich.filesize import decimal

from auditlogservice.client.figures import Bucket, Histogram
from auditlogservice.ledger.formats.known import FORMATS
from auditlogservice.runtime.cli.asking import pointed, read_words
from auditlogservice.runtime.cli.exporting import Format, Lines, Visible
from auditlogservice.runtime.cli.figures import bar, label_of, lines_of
from auditlogservice.runtime.invisible import visible_json
from stub import NASTY, Listening, StubServer, run

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def filled(signed_in: StubServer) -> StubServer:
    """A server with twelve records."""
    for number in range(12):
        signed_in.keep({"name": "n", "event_type": f"t{number}", "detail": NASTY}, str(number))
    return signed_in


def lines(server: StubServer, start: int = 0, stop: int | None = None) -> list[bytes]:
    return [json.dumps(each, ensure_ascii=False).encode() for each in server.records[start:stop]]


def file_of(server: StubServer) -> bytes:
    return b"".join(line + b"\n" for line in lines(server))


# ---- what is asked --------------------------------------------------------------------


def test_search_asks_with_the_query_and_the_filters(filled: StubServer) -> None:
    result = run(
        *["search", 'login "a b" n:>=5', "actor.id=a=b", "event_data.n[gte]=10"],
        *["--since", "7d", "--until", "1h", "--limit", "5", "--oldest", "--json"],
    )
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout_bytes.splitlines() == lines(filled, 0, 5)
    assert filled.queries == [
        {
            "q": ['login "a b" n:>=5'],
            "since": ["7d"],
            "until": ["1h"],
            "actor.id": ["a=b"],
            "event_data.n[gte]": ["10"],
            "sort": ["timestamp"],
            "limit": ["5"],
        }
    ]


def test_search_shows_a_table_that_is_safe_with_the_newest_first(filled: StubServer) -> None:
    result = run("search", "evil", "--limit", "2")
    assert filled.queries[0]["sort"] == ["-timestamp"]
    assert "evil\\x1b[31m\\u202egnp\\x9b\\x0d\\x0a" in result.stdout
    assert result.stdout.index("t11") < result.stdout.index("t10")
    assert "2 events; there may be more" in result.stderr


@pytest.mark.parametrize(
    ("words", "parameters"),
    [
        ([], []),
        (["name=a b"], [("name", "a b")]),
        (["event_data.n[gte]=5", "a.b=c=d"], [("event_data.n[gte]", "5"), ("a.b", "c=d")]),
        (["login"], [("q", "login")]),
        (["login failed", "name=x"], [("q", "login failed"), ("name", "x")]),
        (["n:>=5"], [("q", "n:>=5")]),
        (['"a=b"'], [("q", '"a=b"')]),
        (["(a=b)"], [("q", "(a=b)")]),
        (["a b=c"], [("q", "a b=c")]),
        (["name="], [("name", "")]),
    ],
    ids=str,
)
def test_a_query_and_filters_are_told_apart(
    words: list[str], parameters: list[tuple[str, str]]
) -> None:
    assert read_words(words, since=None, until=None).parameters == parameters


@pytest.mark.parametrize(
    "args",
    [
        ["search"],
        ["search", "a", "b"],
        ["tail", "name=x", "not a filter"],
        ["tail", "-n", "-1"],
        ["count", "a", "b"],
        ["facets"],
        ["facets", "name", "--limit", "0"],
        ["export"],
        ["export", "-o", "-", "--resume"],
        ["export", "-o", "x", "--resume", "--format", "csv"],
        ["export", "-o", "x", "--format", "excel"],
    ],
    ids=" ".join,
)
@pytest.mark.usefixtures("signed_in")
def test_wrong_usage_is_exit_2(args: list[str]) -> None:
    assert run(*args).exit_code == 2


@pytest.mark.parametrize(
    "args",
    [
        ["search"],
        ["tail", "-f"],
        ["count"],
        ["histogram"],
        ["facets", "name"],
        ["export", "-o", "-"],
    ],
    ids=" ".join,
)
@pytest.mark.usefixtures("filled")
def test_a_syntax_error_is_shown_where_it_is(args: list[str]) -> None:
    result = run(*args, "日本\x1b (broken")
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.splitlines() == [
        "auditlogservice: refused (q: column 5: expected `)`)",
        "  日本\\x1b (broken",
        "           ^",
    ]


def test_of_a_long_query_the_part_around_the_error_is_shown() -> None:
    text = "a" * 500 + "!" + "b" * 500
    shown, pointer = pointed(text, 501)
    assert shown[pointer.index("^")] == "!"
    assert len(shown) < 120
    assert pointed("ab", 3) == ("  ab", "    ^")
    assert pointed("ab", 999) == ("  ab", "    ^")


# ---- tail -----------------------------------------------------------------------------


def test_tail_shows_the_newest_with_the_newest_last(filled: StubServer) -> None:
    result = run("tail", "-n", "3", "--json", "evil", "name=n")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout_bytes.splitlines() == lines(filled, 9)
    (query,) = filled.queries
    assert query["q"] == ["evil"]
    assert query["name"] == ["n"]


def test_tail_follows_across_lost_connections_and_shows_each_once(filled: StubServer) -> None:
    half = b'id: 8\ndata: {"_id"'
    coming = tuple(filled.records[4:])
    del filled.records[4:]
    filled.listeners = [
        Listening(0),
        Listening(2, half, coming),
        Listening(0, half),
        Listening(99),
    ]
    result = run("tail", "-f", "-n", "2", "--json", "evil")
    assert result.exit_code == 1  # the stub's token has ended
    assert "the token has ended" in result.stderr
    assert result.stdout_bytes.splitlines() == lines(filled, 2)
    places = [last for path, _, last in filled.asked if path == "/events/stream"]
    assert places == ["3", "3", "5", "5", "11"]


def test_tail_follows_from_the_end_without_lines_to_begin_with(filled: StubServer) -> None:
    filled.listeners = [Listening(99)]
    result = run("tail", "--follow", "--lines", "0")
    assert result.stdout == ""
    assert [last for _, _, last in filled.asked] == ["", "11", "11"]


@pytest.mark.usefixtures("filled")
def test_a_line_of_tail_is_safe_and_short() -> None:
    result = run("tail", "-n", "1")
    evil = "evil\\x1b[31m\\u202egnp\\x9b\\x0d\\x0a"
    assert result.stdout == f"2026-01-01 00:00:00  t11  {evil}\n"


@pytest.mark.usefixtures("filled")
def test_ctrl_c_ends_tail_with_130(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("auditlogservice.client.wire.Wire.open", interrupted)
    result = run("tail", "-f", "-n", "1", "--json")
    assert (result.exit_code, result.stdout.count("\n")) == (130, 1)


# ---- figures --------------------------------------------------------------------------

START = "2026-01-01T00:00:00.000000Z"


@pytest.mark.parametrize(
    ("value", "relation", "shown"),
    [
        (1, "eq", "1 event\n"),
        (0, "eq", "0 events\n"),
        (10_000, "gte", "at least 10,000 events\n"),
        (1_234, "lte", "at most 1,234 events\n"),
    ],
)
def test_count_says_how_exact_it_is(
    signed_in: StubServer, value: int, relation: str, shown: str
) -> None:
    signed_in.figures["/events/count"] = {"value": value, "relation": relation}
    assert run("count", "evil", "name=x", "--since", "7d").stdout == shown
    assert signed_in.queries == [{"q": ["evil"], "name": ["x"], "since": ["7d"]}]


@pytest.mark.parametrize(
    ("command", "answer"),
    [
        (["count"], {"value": 5, "relation": "gte"}),
        (
            ["histogram", "--interval", "1h"],
            {
                "interval": "1h",
                "buckets": [{"start": START, "count": 5}],
                "relation": "gte",
                "complete_since": START,
            },
        ),
        (
            ["facets", "actor.id"],
            {
                "field": "actor.id",
                "values": [{"value": "\x1b[31m", "count": 5}],
                "records": {"value": 7, "relation": "eq"},
            },
        ),
    ],
)
def test_figures_as_json_are_as_the_api_says_them(
    signed_in: StubServer, command: list[str], answer: dict[str, Any]
) -> None:
    signed_in.figures[f"/events/{command[0]}"] = answer
    result = run(*command, "--json")
    assert (result.exit_code, result.stderr) == (0, "")
    assert json.loads(result.stdout) == answer


def test_a_histogram_is_drawn_with_what_is_uncertain(signed_in: StubServer) -> None:
    signed_in.figures["/events/histogram"] = {
        "interval": "1h",
        "buckets": [
            {"start": START, "count": 1},
            {"start": "2026-01-01T01:00:00.000000Z", "count": 2_000},
        ],
        "relation": "gte",
        "complete_since": "2026-01-01T00:30:00.000000Z",
    }
    result = run("histogram", env={"COLUMNS": "50"})
    first, second = result.stdout.splitlines()
    assert "     1+ ▏" in first
    assert " 2,000  ███" in second
    assert "at least 2,001 events, 1h a bucket" in result.stderr
    assert "not complete: marked with +" in result.stderr
    assert "\x1b" not in result.stdout


def histogram_of(*counts: int, interval: str = "1h") -> Histogram:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    buckets = tuple(
        Bucket(start + timedelta(hours=number), count) for number, count in enumerate(counts)
    )
    return Histogram(interval, buckets, "eq", None)


@pytest.mark.parametrize("width", [40, 80, 200])
def test_a_histogram_is_as_wide_as_the_terminal(width: int) -> None:
    zone = timezone(timedelta(hours=-3, minutes=-30))
    drawn = lines_of(histogram_of(0, 5, 1_000), width, plain=False, zone=zone)
    assert [len(line.plain) for line in drawn][-1] == width
    assert all(len(line.plain) <= width for line in drawn)
    assert drawn[0].plain.startswith("2025-12-31 20:30 -03:30      0  ")
    assert lines_of(histogram_of(), width, plain=False) == []
    assert lines_of(histogram_of(0), width, plain=True)[0].plain.endswith("0  ")


def test_a_bar_is_as_long_as_its_number() -> None:
    assert [bar(n, 16, 2, plain=False) for n in (0, 1, 4, 8, 12, 16)] == [
        "", "▏", "▌", "█", "█▌", "██",
    ]  # fmt: skip
    assert bar(1, 1_000_000, 10, plain=False) == "▏"
    assert bar(1, 1_000_000, 10, plain=True) == "#"
    assert bar(5, 10, 10, plain=True) == "#####"


def test_the_seconds_of_a_bucket_are_shown_where_they_matter() -> None:
    start = datetime(2026, 1, 1, 0, 0, 15, tzinfo=UTC)
    assert label_of(start, "15s", UTC) == "2026-01-01 00:00:15 +00:00"
    assert label_of(start, "1d", UTC) == "2026-01-01 00:00 +00:00"


@pytest.mark.parametrize(
    ("relation", "told"),
    [("eq", "of 7 events"), ("gte", "of the newest 7 that match; there are more")],
)
def test_facets_are_a_table_that_is_safe(signed_in: StubServer, relation: str, told: str) -> None:
    signed_in.figures["/events/facets"] = {
        "field": "actor.id",
        "values": [{"value": f"[bold]{NASTY}", "count": 5}],
        "records": {"value": 7, "relation": relation},
    }
    result = run("facets", "actor.id", "name=x", "--limit", "3")
    assert "5   71 %  [bold]evil\\x1b[31m\\u202egnp\\x9b\\x0d\\x0a" in result.stdout
    assert result.stderr == f"{told}\n"
    assert signed_in.queries == [{"field": ["actor.id"], "limit": ["3"], "name": ["x"]}]


# ---- export ---------------------------------------------------------------------------


def test_an_export_has_its_name_only_when_it_is_complete(
    filled: StubServer, tmp_path: Path
) -> None:
    file = tmp_path / "out.ndjson"
    result = run("export", "-o", str(file), "evil", "name=n", "--since", "7d")
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr == f"12 records, {decimal(len(file_of(filled)))}, in {file}\n"
    assert file.read_bytes() == file_of(filled)
    assert filled.queries == [
        {"q": ["evil"], "name": ["n"], "since": ["7d"], "format": ["ndjson"]}
    ]
    assert [each.name for each in tmp_path.iterdir() if each.is_file()] == ["out.ndjson"]


@pytest.mark.parametrize("cut", [0, 10, 700, 1_500])
def test_an_export_that_was_cut_goes_on_behind_its_last_complete_line(
    filled: StubServer, tmp_path: Path, cut: int
) -> None:
    file, part = tmp_path / "out.ndjson", tmp_path / "out.ndjson.part"
    filled.cut = cut
    result = run("export", "-o", str(file))
    assert result.exit_code == 1
    assert "--resume goes on" in result.stderr
    assert "ended early" in result.stderr
    assert not file.exists()
    assert part.read_bytes() == file_of(filled)[:cut]
    filled.cut = None
    again = run("export", "-o", str(file), "--resume")
    assert again.exit_code == 0, again.stderr
    assert again.stderr.splitlines()[-1].startswith("12 records, ")
    assert file.read_bytes() == file_of(filled)
    assert not part.exists()
    whole = file_of(filled)[:cut].count(b"\n")
    assert filled.queries[1].get("after") == ([str(whole - 1)] if whole else None)


def test_a_body_that_ends_inside_a_record_is_no_complete_export(
    filled: StubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "auditlogservice.client.wire.Wire.chunks", lambda *_: iter([file_of(filled)[:-9]])
    )
    result = run("export", "-o", str(tmp_path / "out"))
    assert result.exit_code == 1
    assert "in the middle of a record" in result.stderr
    assert (tmp_path / "out.part").exists()


def test_an_export_replaces_nothing_unless_it_is_told_to(
    filled: StubServer, tmp_path: Path
) -> None:
    file, part = tmp_path / "out", tmp_path / "out.part"
    file.write_text("precious")
    assert run("export", "-o", str(file)).exit_code == 2
    assert run("export", "-o", str(file), "--resume").exit_code == 2
    assert file.read_text() == "precious"
    assert run("export", "-o", str(file), "--force").exit_code == 0
    assert file.read_bytes() == file_of(filled)
    file.unlink()
    part.write_text("begun")
    assert run("export", "-o", str(file)).exit_code == 2
    assert part.read_text() == "begun"
    assert run("export", "-o", str(file), "--force").exit_code == 0
    assert file.read_bytes() == file_of(filled)


def test_a_part_that_is_no_export_is_not_gone_on_with(filled: StubServer, tmp_path: Path) -> None:
    (tmp_path / "out.part").write_text("a,b\n1,2\n")
    assert run("export", "-o", str(tmp_path / "out"), "--resume").exit_code == 2
    assert filled.queries == []
    assert (tmp_path / "out.part").read_text() == "a,b\n1,2\n"


def test_a_refused_export_leaves_nothing_behind(filled: StubServer, tmp_path: Path) -> None:
    assert run("export", "-o", str(tmp_path / "out"), "(broken").exit_code == 1
    assert run("export", "-o", str(tmp_path / "out"), "--token", "bad").exit_code == 1
    assert [each for each in tmp_path.iterdir() if each.is_file()] == []
    assert len(filled.queries) == 1


@pytest.mark.usefixtures("filled")
def test_a_file_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    result = run("export", "-o", str(tmp_path / "none" / "out"))
    assert result.exit_code == 1
    assert result.stderr.startswith(f"auditlogservice: {tmp_path}/none/out.part: No such file")


def test_another_format_is_asked_for_and_taken_as_it_is(
    filled: StubServer, tmp_path: Path
) -> None:
    file = tmp_path / "out.csv"
    result = run("export", "-o", str(file), "--format", "csv")
    assert (result.exit_code, file.read_bytes()) == (0, file_of(filled))
    assert filled.queries == [{"format": ["csv"]}]
    filled.cut = 100
    result = run("export", "-o", str(file), "--format", "csv", "--force")
    assert result.exit_code == 1
    assert "--force begins anew" in result.stderr
    assert file.read_bytes() == file_of(filled)


def test_an_export_to_standard_output_is_byte_for_byte(filled: StubServer) -> None:
    result = run("export", "-o", "-")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout_bytes == file_of(filled)
    filled.cut = 100
    result = run("export", "-o", "-")
    assert (result.exit_code, result.stdout_bytes) == (1, file_of(filled)[:100])


def test_progress_is_on_standard_error_only(filled: StubServer) -> None:
    result = run("export", "-o", "-", env={"FORCE_COLOR": "1", "TERM": "xterm"})
    assert result.stdout_bytes == file_of(filled)
    assert "12 records" in result.stderr
    assert "100%" in result.stderr


def test_on_a_terminal_a_line_is_made_visible_however_it_is_cut(tmp_path: Path) -> None:
    text = '{"a":"\u202eé"}\r\n{"b":1}\n'.encode()
    for size in range(1, len(text) + 1):
        with (tmp_path / "out").open("wb") as file:
            shown = Visible(file, visible_json)
            for at in range(0, len(text), size):
                shown.write(text[at : at + size])
        assert (tmp_path / "out").read_bytes() == '{"a":"\\u202eé"}\n{"b":1}\n'.encode()


@pytest.mark.parametrize("size", [1, 7, 100, 10_000])
def test_how_far_a_file_came_is_known_however_it_is_cut(size: int) -> None:
    text = b"".join(b'{"sequence":%d}\n' % number for number in range(3, 50, 2)) + b'{"seq'
    seen = Lines()
    for at in range(0, len(text), size):
        seen.add(text[at : at + size])
    assert (seen.records, seen.sequence, seen.rest) == (24, 49, b'{"seq')
    assert seen.size + len(seen.rest) == len(text)


def test_a_full_disk_is_one_line(
    filled: StubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr("auditlogservice.runtime.cli.exporting.os.fsync", full)
    result = run("export", "-o", str(tmp_path / "out"))
    assert result.exit_code == 1
    assert result.stderr.endswith("out.part: No space left on device\n")
    assert (tmp_path / "out.part").read_bytes() == file_of(filled)


def test_the_formats_of_the_option_are_those_that_a_server_has() -> None:
    assert [item.value for item in Format] == list(FORMATS)


@pytest.mark.parametrize("body", [b"<html>\n", b"[1]\n", b'{"sequence":"1"}\n'])
@pytest.mark.usefixtures("filled")
def test_lines_that_are_no_records_are_no_export(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: bytes
) -> None:
    monkeypatch.setattr("auditlogservice.client.wire.Wire.chunks", lambda *_: iter([body]))
    result = run("export", "-o", str(tmp_path / "out"))
    assert result.exit_code == 1
    assert "a line of the export is no record" in result.stderr
    assert not (tmp_path / "out").exists()


class Terminal(io.BytesIO):
    def isatty(self) -> bool:
        return True


def test_an_export_to_a_terminal_moves_no_cursor_and_has_no_bar(
    filled: StubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    screen = Terminal()
    monkeypatch.setattr(
        "auditlogservice.runtime.cli.exporting.typer.get_binary_stream", lambda _: screen
    )
    result = run("export", "-o", "-", env={"FORCE_COLOR": "1", "TERM": "xterm"})
    assert (result.exit_code, result.stderr) == (0, "")
    shown = screen.getvalue()
    assert not {0x1B, 0x0D} & set(shown)
    assert "\u202e" not in shown.decode()
    assert [json.loads(line) for line in shown.splitlines()] == filled.records
    assert run("export", "-o", "-", "--format", "parquet").exit_code == 2
