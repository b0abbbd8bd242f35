"""Files are read as they lie there; what cannot be read is reported at its place."""

from __future__ import annotations

import gzip
import io
import json
from pathlib import Path

import pytest
import zstandard

from auditlogservice.client.sources import MAX_LINE_BYTES, open_source
from auditlogservice.errors import InputRefused

DATA = Path(__file__).parents[1] / "data"
WINDOWS = (DATA / "windows-security.ndjson").read_bytes()


def read(raw: bytes) -> list[tuple[str, object]]:
    """Places and records; an error is its class name."""
    with open_source("-", io.BytesIO(raw)) as source:
        return [
            (
                reading.place,
                type(reading.record).__name__
                if isinstance(reading.record, InputRefused)
                else reading.record,
            )
            for reading in source
        ]


def records(raw: bytes) -> list[object]:
    return [record for _, record in read(raw)]


@pytest.mark.parametrize(
    "packed",
    [
        WINDOWS,
        gzip.compress(WINDOWS),
        gzip.compress(WINDOWS[:9_999]) + gzip.compress(WINDOWS[9_999:]),
        zstandard.compress(WINDOWS),
        zstandard.compress(WINDOWS[:9_999]) + zstandard.compress(WINDOWS[9_999:]),
        zstandard.compress(gzip.compress(WINDOWS)),
        WINDOWS.decode().encode("utf-16"),
        b"\xef\xbb\xbf" + WINDOWS,
        b"[" + b",".join(WINDOWS.splitlines()) + b"]",
        json.dumps({"Records": [json.loads(line) for line in WINDOWS.splitlines()]}).encode(),
        json.dumps(
            {"kind": "EventList", "items": [json.loads(line) for line in WINDOWS.splitlines()]},
            indent=2,
        ).encode(),
    ],
    ids=[
        "plain", "gzip", "gzip twice", "zstd", "zstd twice", "both", "utf-16", "utf-8 mark",
        "array", "Records", "EventList",
    ],
)  # fmt: skip
def test_every_packing_gives_the_same_records(packed: bytes) -> None:
    assert records(packed) == [json.loads(line) for line in WINDOWS.splitlines()]


def test_integers_of_64_bits_and_line_ends_in_texts_are_exact() -> None:
    raw = (
        b'{"Keywords":-9214364837600034816,"max":9223372036854775807,"m":"a\\r\\n\\r\\n\\tb"}\r\n'
    )
    assert records(raw) == [
        {"Keywords": -9214364837600034816, "max": 2**63 - 1, "m": "a\r\n\r\n\tb"}
    ]


def test_a_bad_line_is_reported_at_its_place_and_the_next_one_is_read() -> None:
    raw = b'{"a":1}\n\n{bad\n[1]\n{"a":1,"a":2}\n{"a":NaN}\n{"a":99999999999999999999}\n{"a":2}'
    assert read(raw) == [
        ("line 1", {"a": 1}),
        ("line 3", "MalformedInput"),
        ("line 4", "InvalidInput"),
        ("line 5", "MalformedInput"),
        ("line 6", "MalformedInput"),
        ("line 7", "InvalidInput"),
        ("line 8", {"a": 2}),
    ]


def test_a_line_that_is_too_long_is_passed_over() -> None:
    raw = b'{"a":"' + b"x" * MAX_LINE_BYTES + b'"}\n{"a":2}\n'
    assert read(raw) == [("line 1", "InputTooLarge"), ("line 2", {"a": 2})]


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.compress], ids=["gzip", "zstd"])
def test_a_file_that_was_cut_off_gives_its_beginning_and_says_so(pack: object) -> None:
    assert callable(pack)
    found = records(pack(WINDOWS * 20)[:-20])
    assert found[-1] == "MalformedInput"
    assert found[0] == json.loads(WINDOWS.splitlines()[0])
    assert "MalformedInput" not in found[:-1]


def test_a_bad_item_of_an_array_does_not_spoil_the_others() -> None:
    assert read(b'[{"a":1},2,{"a":99999999999999999999}]') == [
        ("item 1", {"a": 1}),
        ("item 2", "InvalidInput"),
        ("item 3", "InvalidInput"),
    ]


def test_documents_one_after_another_are_read_each_by_itself() -> None:
    raw = b'{\n  "a": 1\n}\n{\n  "a": 2,\n  "a": 3\n}\n{\n  "a": 9223372036854775807\n}\n'
    assert read(raw) == [
        ("item 1", {"a": 1}),
        ("item 2", "MalformedInput"),
        ("item 3", {"a": 2**63 - 1}),
    ]


def test_a_document_that_is_broken_is_refused() -> None:
    assert read(b'{\n  "a": 1,\n  "b": \n}') == [("document", "MalformedInput")]


def test_a_table_is_read_with_its_quoted_lines() -> None:
    raw = b'a;b\r\n1;"x\r\ny"\r\n1;2;3\r\n\xff;2\r\n5;6\r\n'
    assert read(raw) == [
        ("line 2", {"a": "1", "b": "x\r\ny"}),
        ("line 4", "MalformedInput"),
        ("line 5", "MalformedInput"),
        ("line 6", {"a": "5", "b": "6"}),
    ]


def test_a_table_may_hold_a_cell_of_200_kb() -> None:
    cell = "m" * 200_000
    assert records(f"a,b\n1,{cell}\n".encode()) == [{"a": "1", "b": cell}]


@pytest.mark.parametrize("raw", [b"just some words\n", b"a,b,a\n1,2,3\n"], ids=["prose", "twice"])
def test_what_is_no_table_is_refused(raw: bytes) -> None:
    assert read(raw) == [("line 1", "MalformedInput")]


def test_lines_of_auditd_are_known_by_themselves() -> None:
    raw = (
        b"----\ntime->Thu Mar 28 14:36:03 2013\n"
        b"type=SYSCALL msg=audit(1364481363.243:24287): success=no exit=-13\nnonsense\n"
    )
    assert read(raw) == [
        (
            "line 3",
            {
                "raw": "type=SYSCALL msg=audit(1364481363.243:24287): success=no exit=-13",
                "type": "SYSCALL",
                "msg": "audit(1364481363.243:24287)",
                "success": "no",
                "exit": "-13",
            },
        ),
        ("line 4", "MalformedInput"),
    ]


def test_an_empty_source_has_no_records() -> None:
    assert read(b"") == read(b"\n \n") == []


def test_the_bytes_consumed_end_at_the_size_of_the_file(tmp_path: Path) -> None:
    file = tmp_path / "events.gz"
    file.write_bytes(gzip.compress(WINDOWS))
    with open_source(str(file)) as source:
        counts = [reading.consumed for reading in source]
        assert source.size == file.stat().st_size == counts[-1]
    assert counts == sorted(counts)
