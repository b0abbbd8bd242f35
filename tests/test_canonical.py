"""JSON comes in strictly, in one meaning, and goes out in one spelling (RFC 8785)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, TypeAlias

import pytest
import rfc8785
from hypothesis import example, given
from hypothesis import strategies as st

from auditlogservice.canonical import (
    MAX_DEPTH,
    MAX_KEY_BYTES,
    MAX_KEYS,
    dump,
    parse,
    parse_array,
    pointer_to,
)
from auditlogservice.errors import InvalidInput, MalformedInput
from strategies import keys, scalars, texts, values

if TYPE_CHECKING:
    from auditlogservice.canonical import Json

TOO_LARGE = "an integer must fit in 64 bits, signed"
TOO_WIDE = "a number must fit in a double"

# Where a value may stand, so that each of the two parsers behind `parse` gets to judge it.
PLACES = {
    "alone": b"%b",
    "in an array": b"[0,%b]",
    "deep inside": b'{"a":[{"b":[0,%b]}]}',
    "beside a blank before a colon": b'{"a" :1,"b":%b}',
    "after a number beyond a double": b"[1e400,%b]",
    "before a number beyond a double": b"[%b,1e400]",
    "beside an integer beyond 64 bits": b"[%b,99999999999999999999]",
}

# ---- what is no JSON --------------------------------------------------------------------

MALFORMED = {
    "nothing": b" ",
    "NaN": b"NaN",
    "Infinity": b"Infinity",
    "minus Infinity": b"-Infinity",
    "a bare word": b"undefined",
    "single quotes": b"'a'",
    "a comment": b"1 /* one */",
    "a trailing comma": b"[1,]",
    "a comma before the end of an object": b'{"a":1,}',
    "a leading zero": b"01",
    "a plus": b"+1",
    "no digit before the point": b".5",
    "no digit after the point": b"5.",
    "hexadecimal": b"0x10",
    "an open string": b'"a',
    "an open array": b"[1",
    "an open object": b'{"a":1',
    "a key that is no string": b"{1:2}",
    "a control character": b'"\x01"',
    "a newline in a string": b'"a\nb"',
    "an unknown escape": b'"\\x41"',
    "a short escape": b'"\\u12"',
    "a high surrogate alone": b'"\\ud800"',
    "a low surrogate alone": b'"\\udc00"',
    "surrogates in the wrong order": b'"\\udc00\\ud800"',
    "a surrogate in a key": b'{"\\ud800":1}',
    "a surrogate in a long key": b'{"' + b"k" * 100 + b'\\udfff":1}',
    "surrogates that strings share": b'["\\ud83d","\\ude00"]',
    "a byte that is no UTF-8": b'"\xff"',
    "an overlong encoding": b'"\xc0\xaf"',
    "a surrogate in UTF-8": b'"\xed\xa0\x80"',
    "a cut character": b'"\xf0\x9f\x98"',
    "the same key twice": b'{"a":1,"a":1}',
    "the same key, escaped": b'{"a":1,"\\u0061":2}',
    "the same key, both escaped": b'{"\\u0061":1,"\\u0061":2}',
    "the same key, a blank before the colon": b'{"a":1,"a" :2}',
    "the same key, other blanks": b'{"a"\t:1,"a"\r\n:2}',
    "the same key, blanks after the colon": b'{ "a": 1, "a": 2 }',
    "the same key, an object between": b'{"a":1,"b":{"a":1},"a":2}',
    "the same key in an inner object": b'{"a":{"b":1,"b":2}}',
    "the same key in an object in an array": b'[[],[{"b":1,"b":2}]]',
    "the same empty key": b'{"":1,"":2}',
    "the same key, a quote and a colon in it": b'{"a\\":":1,"a\\":":2}',
    "the same key, a quote and a colon in a value": b'{"x":"\\":","x":1}',
    "the same key, an equal value": b'{"a":{"c":1},"a":{"c":1}}',
}


@pytest.mark.parametrize("raw", MALFORMED.values(), ids=MALFORMED)
def test_bytes_that_do_not_say_one_thing_are_no_json(raw: bytes) -> None:
    for name, place in PLACES.items():
        with pytest.raises(MalformedInput):
            pytest.fail(f"{name}: {parse(place % raw)!r}")


@pytest.mark.parametrize("raw", MALFORMED.values(), ids=MALFORMED)
def test_one_item_that_is_no_json_spoils_the_array(raw: bytes) -> None:
    for array in (b"[%b]", b"[1e400,%b]", b'[{"a" :1},{"b":%b},9223372036854775808]'):
        with pytest.raises(MalformedInput):
            parse_array(array % (raw.strip() or b"?"))


@pytest.mark.parametrize(
    "raw",
    [
        b"\xef\xbb\xbf{}", b"{}{}", b"{} x", b"{}\x00", b"\x00{}", b"1 2", b"\x0b1", b"{}\xc2\xa0",
        b"1e400 x", b"[1e400]]", b"\xef\xbb\xbf[1e400]", b'{"a" :1}]',
        "[1e400]".encode("utf-16"), "[1e400]".encode("utf-16-le"), "{}".encode("utf-32"),
    ],
    ids=repr,
)  # fmt: skip
def test_nothing_but_blanks_stands_around_the_value(raw: bytes) -> None:
    with pytest.raises(MalformedInput):
        parse(raw)


def test_blanks_around_the_value_are_no_part_of_it() -> None:
    assert parse(b' \t\r\n{"a" : [ 1 , 2 ]}\n') == {"a": [1, 2]}


@pytest.mark.parametrize("opening", [b"[", b'{"a":', b'[{"a":'])
def test_nesting_without_end_is_refused_and_breaks_nothing(opening: bytes) -> None:
    for inside in (b"", b"1e400"):
        with pytest.raises((MalformedInput, InvalidInput)):
            parse(opening * 100_000 + inside)


def test_the_key_that_stands_twice_is_told_but_not_at_any_length() -> None:
    with pytest.raises(MalformedInput, match="'twice'"):
        parse(b'{"once":1,"twice":2,"twice":3}')
    with pytest.raises(MalformedInput) as caught:
        parse(b'{"%b":1,"%b":2}' % (b"k" * 5_000, b"k" * 5_000))
    assert len(str(caught.value)) < 200


# ---- what is JSON, and looks as if it were not -------------------------------------------


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        (b'{"a":"b\\":c"}', {"a": 'b":c'}),
        (b'{"a\\":b":"\\":","c":"\\" :"}', {'a":b': '":', "c": '" :'}),
        (b'["a\\":1","a\\":2"]', ['a":1', 'a":2']),
        (b'{"a":{"a":{"a":1}}}', {"a": {"a": {"a": 1}}}),
        (b'[{"a":1},{"a":2}]', [{"a": 1}, {"a": 2}]),
        (b'{"a" : 1, "b"\n:\n2}', {"a": 1, "b": 2}),
        (b'{"a":1,"A":2,"\\u0000":3}', {"a": 1, "A": 2, "\x00": 3}),
        (b'{"\\u0061":1}', {"a": 1}),
        (b'"\\ud83d\\ude00"', "😀"),
        (b'{"\\ud83d\\ude00" :1}', {"😀": 1}),
        (b'"NaN"', "NaN"),
        (b'{"Infinity":"infinity"}', {"Infinity": "infinity"}),
    ],
    ids=repr,
)
def test_what_says_one_thing_is_read(raw: bytes, value: Json) -> None:
    assert parse(raw) == value


# ---- numbers ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "number",
    [0, 1, -1, 2**53 + 1, 10**18, 2**63 - 1, -(2**63), -(2**63) + 1],
    ids=str,
)
def test_integers_of_64_bits_are_kept_exactly(number: int) -> None:
    for place in (b"%d", b"[%d]", b'{"a" :%d}', b"[%d,1e19]"):
        found = parse(place % number)
        while isinstance(found, dict | list):
            found = found["a"] if isinstance(found, dict) else found[0]
        assert type(found) is int
        assert found == number


@pytest.mark.parametrize(
    "digits",
    [
        str(2**63), str(2**63 + 1), str(2**64 - 1), str(2**64), str(-(2**63) - 1), "9" * 20,
        "9" * 300, "9" * 400, "9" * 5_000, "-" + "9" * 5_000, "1" + "0" * 19,
    ],
    ids=lambda digits: f"{digits[:22]} of {len(digits)}",
)  # fmt: skip
@pytest.mark.parametrize(
    ("place", "pointer"),
    [
        ("%s", ""),
        ("[0,%s]", "/1"),
        ("[[[],[%s]]]", "/0/1/0"),
        ('{"a":{"b/~c":[1,{"":%s}]}}', "/a/b~1~0c/1/"),
        ('{"a" :%s}', "/a"),
    ],
)
def test_an_integer_beyond_64_bits_is_refused_where_it_stands(
    digits: str, place: str, pointer: str
) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse((place % digits).encode())
    (flaw,) = caught.value.flaws
    assert (flaw.pointer, flaw.detail) == (pointer, TOO_LARGE)


@pytest.mark.parametrize("digits", ["1e400", "-1e400", "1e309", "1" + "0" * 310 + ".0", "2e308"])
@pytest.mark.parametrize(
    ("place", "pointer"), [("%s", ""), ("[%s]", "/0"), ('{"a":[1.5,{"b":%s}]}', "/a/1/b")]
)
def test_a_number_beyond_a_double_is_refused_where_it_stands(
    digits: str, place: str, pointer: str
) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse((place % digits).encode())
    (flaw,) = caught.value.flaws
    assert (flaw.pointer, flaw.detail) == (pointer, TOO_WIDE)


@pytest.mark.parametrize(
    ("raw", "number"),
    [
        (b"1e19", 1e19),
        (b"9223372036854775808.0", 2.0**63),
        (b"-9223372036854775809.5", -(2.0**63)),
        (b"1.7976931348623157e308", 1.7976931348623157e308),
        (b"1e-400", 0.0),
        (b"0." + b"1" * 5_000, 1 / 9),
        (b"1E2", 100.0),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_a_number_with_a_point_or_an_exponent_is_a_double(raw: bytes, number: float) -> None:
    for place in (b"[%b]", b"[%b,1e20]"):
        found = parse(place % raw)
        assert isinstance(found, list)
        assert type(found[0]) is float
        assert found[0] == number


# ---- how much ---------------------------------------------------------------------------


def _nested(depth: int, opening: str = "[", closing: str = "]") -> bytes:
    return (opening * depth + closing * depth).encode()


@pytest.mark.parametrize(
    ("opening", "middle", "closing"), [("[", "", "]"), ('{"k":', "1", "}"), ('{"k" :', "1", "}")]
)
def test_a_field_may_be_nested_64_deep_and_no_deeper(
    opening: str, middle: str, closing: str
) -> None:
    field = '{"field":%s}'
    fits = field % (opening * MAX_DEPTH + middle + closing * MAX_DEPTH)
    parse(fits.encode())
    dump(parse(fits.encode()))
    deeper = field % (opening * (MAX_DEPTH + 1) + middle + closing * (MAX_DEPTH + 1))
    with pytest.raises(InvalidInput, match="nested 64 deep") as caught:
        parse(deeper.encode())
    (flaw,) = caught.value.flaws
    assert flaw.pointer == "/field" + ("/0" if opening == "[" else "/k") * MAX_DEPTH


def test_an_object_may_have_1000_keys_and_no_more() -> None:
    fits = {f"k{number}": number for number in range(MAX_KEYS)}
    assert parse(json.dumps({"a": [fits]}).encode()) == {"a": [fits]}
    with pytest.raises(InvalidInput, match="1,000 keys") as caught:
        parse(json.dumps({"a": [0, {**fits, "one more": 1}]}).encode())
    assert caught.value.flaws[0].pointer == "/a/1"


@pytest.mark.parametrize("character", ["k", "é", "€", "😀"])
def test_a_key_may_have_256_bytes_and_no_more(character: str) -> None:
    longest = character * (MAX_KEY_BYTES // len(character.encode()))
    longest += "x" * (MAX_KEY_BYTES - len(longest.encode()))
    for ascii_only in (True, False):
        raw = json.dumps({"a": {longest: 1}}, ensure_ascii=ascii_only).encode()
        assert parse(raw) == {"a": {longest: 1}}
        raw = json.dumps({"a": {longest + "x": 1}}, ensure_ascii=ascii_only).encode()
        with pytest.raises(InvalidInput, match="256 bytes") as caught:
            parse(raw)
        assert caught.value.flaws[0].pointer == "/a"


# ---- arrays, item by item -----------------------------------------------------------------


def test_each_item_of_an_array_is_judged_on_its_own() -> None:
    raw = b'[{"a":1},{"b":[9223372036854775808]},{"c":1e400},"d",%b,{"e":{"%b":1}},null]' % (
        _nested(MAX_DEPTH + 2),
        b"k" * 257,
    )
    items = parse_array(raw)
    pointers = [
        item.flaws[0].pointer if isinstance(item, InvalidInput) else None for item in items
    ]
    assert pointers == [None, "/b/0", "/c", None, "/0" * (MAX_DEPTH + 1), "/e", None]
    assert [items[0], items[3], items[6]] == [{"a": 1}, "d", None]


def test_a_flawed_item_hides_no_key_that_stands_twice_in_another() -> None:
    with pytest.raises(MalformedInput, match="twice"):
        parse_array(b'[{"n":18446744073709551615,"m":1},{"a":1,"a":2}]')


def test_items_after_a_number_beyond_a_double_are_judged_as_strictly() -> None:
    with pytest.raises(MalformedInput):
        parse_array(b'[{"n":1e400},{"name":"\\ud800"}]')


@pytest.mark.parametrize("raw", [b"{}", b"1", b'"[]"', b"null", b"1e400", b'{"a" :[]}'])
def test_what_is_no_array_is_refused_as_a_whole(raw: bytes) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_array(raw)
    assert [flaw.pointer for flaw in caught.value.flaws] == [""]


def test_an_empty_array_has_no_items() -> None:
    assert parse_array(b" [ ] ") == []


# ---- the one spelling -------------------------------------------------------------------

_deep = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(keys | st.text(st.characters(exclude_categories=["Cs"])), inner)
    ),
    max_leaves=12,
)

Meaning: TypeAlias = "tuple[str, object]"


def _meaning(value: Json) -> Meaning:
    """What JSON says: 1 and 1.0 are one number, and no number is true. Compared exactly.

    From 10^16 on, an integer is exact and a double is not, so that the two are never one number.
    """
    match value:
        case bool() | None | str():
            return type(value).__name__, value
        case dict():
            return "object", {key: _meaning(item) for key, item in value.items()}
        case list():
            return "array", [_meaning(item) for item in value]
        case float() if abs(value) >= 1e16:
            return "double", value
        case _:
            return "number", value


def _is_in_range_of_rfc8785(value: Json) -> bool:
    """Whether the two deviations have nothing to do with the value."""
    match value:
        case bool() | None | str():
            return True
        case dict():
            return all(map(_is_in_range_of_rfc8785, value.values()))
        case list():
            return all(map(_is_in_range_of_rfc8785, value))
        case int():
            return abs(value) < 2**53
        case float():
            return abs(value) < 1e16 or abs(value) >= 1e21


@given(_deep.filter(_is_in_range_of_rfc8785))
@example({"\uffff": 1, "😀": 2, "€": 3, "a": [0.1, -0.0, 1e-7, 1e21, 5e-324, 333333333.33333329]})
@example(['\x00\x1f\x7f\u2028"\\/\b\f\n\r\t', "ÿ", "😀"])
def test_the_spelling_is_the_one_of_rfc_8785(value: Json) -> None:
    assert dump(value) == rfc8785.dumps(value)


@given(_deep | values)
@example(2.0**60)
@example(-(2.0**63))
@example(2.0**63)
@example([1e19, 2**63 - 1, 2.0**62 + 2**10, 2.0**53 + 2])
def test_what_is_written_can_be_read_and_means_the_same(value: Json) -> None:
    assert _meaning(parse(dump(value))) == _meaning(value)


@given(_deep | values)
def test_what_was_read_is_written_as_it_was(value: Json) -> None:
    written = dump(value)
    assert dump(parse(written)) == written


@given(value=_deep, spaces=st.sampled_from(["", " ", "\n\t"]), ascii_only=st.booleans())
def test_spelling_order_and_blanks_of_the_source_leave_no_trace(
    value: Json, spaces: str, *, ascii_only: bool
) -> None:  # fmt: skip
    raw = json.dumps(
        _reversed(value),
        ensure_ascii=ascii_only,
        separators=(f"{spaces},{spaces}", f"{spaces}:{spaces}"),
    )
    assert dump(parse(raw.encode())) == dump(value)


def _reversed(value: Json) -> Json:
    match value:
        case dict():
            return {key: _reversed(item) for key, item in reversed(value.items())}
        case list():
            return [_reversed(item) for item in value]
        case _:
            return value


_few = st.sampled_from([
    0, 0.0, -0.0, False, "", None, 1, 1.0, True, "1", 2**53, 2.0**53, 2**53 + 1, 2**60, 2.0**60,
    2**63 - 1, 2.0**63, -(2**63), -(2.0**63), 1e21, 1e19, 1152921504606847000, "true", "null",
])  # fmt: skip
_similar: st.SearchStrategy[Json] = st.recursive(
    _few,
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(st.sampled_from(["a", "😀"]), inner, max_size=2)
    ),
    max_leaves=3,
)


@given(one=_similar, other=_similar)
@example(one=-(2**63), other=-(2.0**63))
@example(one=2**60, other=2.0**60)
@example(one=1152921504606847000, other=2.0**60)
def test_equal_values_have_equal_bytes_and_the_other_way_round(one: Json, other: Json) -> None:
    assert (dump(one) == dump(other)) == (_meaning(one) == _meaning(other))


def test_keys_are_sorted_by_utf_16() -> None:
    """By code point, and by UTF-8, the last two would change places."""
    value: Json = {"\uffff": 1, "😀": 2, "b": 3, "é": 4, "B": 5}
    assert list(json.loads(dump(value))) == ["B", "b", "é", "😀", "\uffff"]
    assert list(json.loads(dump([{"x": value}]))[0]["x"]) == ["B", "b", "é", "😀", "\uffff"]


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (2**53 + 1, b"9007199254740993"),
        (2**63 - 1, b"9223372036854775807"),
        (-(2**63), b"-9223372036854775808"),
        (2.0**53, b"9007199254740992"),
        (2.0**53 + 2, b"9007199254740994"),
        (-9999999999999998.0, b"-9999999999999998"),
    ],
    ids=repr,
)
def test_integers_keep_all_their_digits(value: float, written: bytes) -> None:
    """The first deviation. RFC 8785 would round to 17 digits, or refuse."""
    assert dump(value) == written
    assert dump({"a": [value, 0.5]}) == b'{"a":[%b,0.5]}' % written


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (1e16, b"1e+16"),
        (2.0**60, b"1.152921504606847e+18"),
        (-(2.0**63), b"-9.223372036854776e+18"),
        (2.0**63, b"9.223372036854776e+18"),
        (-1e19, b"-1e+19"),
        (1e20, b"1e+20"),
        (123456789012345680000.0, b"1.2345678901234568e+20"),
    ],
    ids=repr,
)
def test_large_doubles_keep_an_exponent(value: float, written: bytes) -> None:
    """The second deviation. RFC 8785 would write digits, and they would read as an integer."""
    assert dump(value) == written
    assert type(parse(dump(value))) is float


@given(st.dictionaries(texts, st.integers(-9, 9)))
def test_writing_changes_nothing_in_the_value(value: dict[str, Json]) -> None:
    before = list(value.items())
    dump(value)
    assert list(value.items()) == before


def test_what_is_beyond_the_limits_cannot_be_written() -> None:
    for value in (2**63, {"a": [2**64]}, {"k" * 257: 1}):
        with pytest.raises(InvalidInput):
            dump(value)  # type: ignore[arg-type] # mypy joins the types of a tuple


# ---- pointers ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("steps", "pointer"),
    [
        ((), ""),
        (("",), "/"),
        (("a", 0, "b"), "/a/0/b"),
        (("a/b", "m~n", "~1"), "/a~1b/m~0n/~01"),
    ],
)
def test_pointers_are_those_of_rfc_6901(steps: tuple[str | int, ...], pointer: str) -> None:
    assert pointer_to(*steps) == pointer
