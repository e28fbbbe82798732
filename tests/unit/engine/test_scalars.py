"""What AppSync's scalars accept, refuse and put into responses."""

from typing import Any

import pytest
from graphql import parse_value
from hypothesis import given
from hypothesis import strategies as st

from headwater.engine.scalars import SCALARS, ScalarFault, java_class

ACCEPTED: dict[str, list[str]] = {
    "AWSDate": [
        "1970-01-01",
        "1970-01-01Z",
        "1970-01-01-07:00",
        "1970-01-01+05:30",
        "2020-02-29",
        "2020-01-01+05:30:15",
    ],
    "AWSTime": ["12:30", "12:30Z", "12:00:34", "12:00:34.", "12:00:34.123456789-07:00", "23:59:59+05:30:10"],
    "AWSDateTime": ["1970-01-01T12:00:00+00:00", "1970-01-01T12:30Z", "2020-02-29T23:59:59.999999999-07:00"],
    "AWSEmail": ["username@example.com", "a.b+c@x-y.co", '"quoted name"@example.com', "user@localhost"],
    "AWSPhone": ["+1 555-234-5678", "212-555-0123", "2125550123", "1 212 555 0123", "+44 20 7946 0958", "+6591234567"],
    "AWSURL": [
        "https://www.amazon.com/dp/B000NZW0BU/",
        "mailto:example@example.com",
        "http://localhost/",
        "http://localhost:8080",
        "ftp://host/a/b?x=//y#z",
        "s3://bucket/key",
    ],
    "AWSIPAddress": ["123.12.34.56", "1a2b:3c4b::1234:4567", "123.45.67.89/16", "::1/128", "0.0.0.0/0"],
}
REFUSED: dict[str, list[Any]] = {
    "AWSDate": ["", "1970-1-1", "2021-02-29", "1970-13-01", "1970-01-01T00:00", "1970-01-01+25:00", "01-01-1970", 5],
    "AWSTime": ["", "24:00", "12:60", "12", "12:30:61", "12:30:00.1234567890", "12:30+7"],
    "AWSDateTime": [
        "1970-01-01T12:00:00",
        "1970-01-01",
        "1970-01-01 12:00Z",
        "1970-02-30T12:00Z",
        "2020-05-23T06:4:37Z",
    ],
    "AWSEmail": ["", "a", "a@", "@b.c", "a b@c.d", "a@b..c", "a@-b.c", "a@b@c"],
    "AWSPhone": [
        "",
        "12345",
        "1110004444",
        "(212) 555-0123",
        "+",
        "212--555-0123",
        "abc",
        "+1234567890123456",
        2125550123,
    ],
    "AWSURL": ["", "www.amazon.com", "/a/b", "http://", "https:", "http://a//b", "http://h/a b", "http://h/a//b"],
    "AWSIPAddress": [
        "",
        "1.2.3",
        "256.1.1.1",
        "[::1]",
        "1.2.3.4/33",
        "1.2.3.4/255.0.0.0",
        "fe80::1%eth0",
        "::1/129",
        "1.2.3.4/",
    ],
}


@pytest.mark.parametrize(("name", "value"), [(name, one) for name, values in ACCEPTED.items() for one in values])
def test_a_valid_value_passes_both_ways_unchanged(name: str, value: str) -> None:
    assert SCALARS[name].parse(value) == value
    assert SCALARS[name].serialize(value) == value


@pytest.mark.parametrize(("name", "value"), [(name, one) for name, values in REFUSED.items() for one in values])
def test_an_invalid_value_is_refused_both_ways(name: str, value: Any) -> None:
    with pytest.raises(ScalarFault, match="Unable to parse"):
        SCALARS[name].parse(value)
    with pytest.raises(ScalarFault, match="Unable to serialize"):
        SCALARS[name].serialize(value)


def test_an_unreadable_date_time_is_named_as_the_service_names_it() -> None:
    with pytest.raises(ScalarFault) as caught:
        SCALARS["AWSDateTime"].serialize("2020-05-23T06:4:37.000Z")

    assert str(caught.value) == "Unable to serialize `2020-05-23T06:4:37.000Z` as a valid DateTime Object."


@pytest.mark.parametrize("value", [0, 1714000000, -5, 2**40, 3.0])
def test_a_timestamp_is_any_whole_number_of_seconds(value: Any) -> None:
    assert SCALARS["AWSTimestamp"].parse(value) == value


@pytest.mark.parametrize("value", ["0", 1.5, True, None, float("nan"), float("inf"), 2**63])
def test_anything_else_is_no_timestamp(value: Any) -> None:
    with pytest.raises(ScalarFault):
        SCALARS["AWSTimestamp"].parse(value)


def test_json_is_a_string_in_a_value_for_resolvers_and_a_string_out() -> None:
    scalar = SCALARS["AWSJSON"]

    assert scalar.parse('{"a":[1,"x"]}') == {"a": [1, "x"]}
    assert scalar.serialize({"a": [1, "x"]}) == '{"a":[1,"x"]}'
    assert scalar.serialize('{"a":1}') == '{"a":1}'
    assert scalar.serialize("plain") == '"plain"'
    assert scalar.serialize(5) == "5"


@pytest.mark.parametrize("value", ["{", {"a": 1}, 5, None, ""])
def test_json_that_is_no_string_of_json_is_refused(value: Any) -> None:
    with pytest.raises(ScalarFault):
        SCALARS["AWSJSON"].parse(value)


@pytest.mark.parametrize(
    ("name", "given_value", "coerced"),
    [
        ("Int", 5, 5),
        ("Int", "5", 5),
        ("Int", 5.0, 5),
        ("Float", 1, 1.0),
        ("Float", "1.5", 1.5),
        ("Boolean", "true", True),
        ("Boolean", 0, False),
        ("String", 5, "5"),
        ("String", True, "true"),
        ("ID", 5, "5"),
        ("ID", "x", "x"),
    ],
)
def test_built_in_scalars_coerce_variables_as_graphql_java_does(name: str, given_value: Any, coerced: Any) -> None:
    result = SCALARS[name].parse(given_value)

    assert (result, type(result)) == (coerced, type(coerced))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Int", 2**31),
        ("Int", 1.5),
        ("Int", "x"),
        ("Int", True),
        ("Float", "x"),
        ("Float", float("inf")),
        ("ID", 1.5),
        ("Boolean", "yes"),
        ("String", {}),
        ("String", []),
        ("ID", True),
        ("Int", {}),
        ("Float", []),
    ],
)
def test_built_in_scalars_refuse_what_graphql_java_refuses(name: str, value: Any) -> None:
    with pytest.raises(ScalarFault, match=f"Expected type '{name}' but was "):
        SCALARS[name].parse(value)


def test_a_map_in_a_string_field_reads_as_java_prints_it() -> None:
    assert SCALARS["String"].serialize({"a": 1, "b": [True, None, "x"]}) == "{a=1, b=[true, null, x]}"


@pytest.mark.parametrize(
    ("name", "literal"),
    [
        ("Int", '"5"'),
        ("Int", "1.5"),
        ("Float", '"1"'),
        ("Boolean", "1"),
        ("String", "5"),
        ("ID", "1.5"),
        ("AWSJSON", "{a: 1}"),
        ("AWSTimestamp", '"1"'),
        ("AWSDate", '"x"'),
        ("AWSDate", "5"),
        ("Int", "3000000000"),
    ],
)
def test_literals_are_held_to_their_kind(name: str, literal: str) -> None:
    with pytest.raises(ScalarFault):
        SCALARS[name].literal(parse_value(literal))


def test_an_integer_literal_is_a_valid_id_and_float() -> None:
    assert SCALARS["ID"].literal(parse_value("5")) == "5"
    assert SCALARS["Float"].literal(parse_value("5")) == 5.0


@given(st.datetimes(), st.sampled_from(["Z", "+00:00", "-07:00", "+05:30"]))
def test_every_iso_date_and_time_with_an_offset_is_a_date_time(moment: Any, offset: str) -> None:
    text = moment.isoformat() + offset

    assert SCALARS["AWSDateTime"].parse(text) == text


@given(st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)))
def test_every_address_is_an_ip_address(address: Any) -> None:
    assert SCALARS["AWSIPAddress"].parse(str(address)) == str(address)


@given(st.sampled_from(sorted(SCALARS)), st.recursive(st.none() | st.text() | st.floats() | st.integers(), st.lists))
def test_no_value_makes_a_scalar_fail_otherwise_than_by_refusing(name: str, value: Any) -> None:
    for function in (SCALARS[name].parse, SCALARS[name].serialize):
        try:
            function(value)
        except ScalarFault:
            continue


def test_json_nested_too_deeply_is_refused_without_repeating_it() -> None:
    with pytest.raises(ScalarFault) as caught:
        SCALARS["AWSJSON"].parse("[" * 300 + "]" * 300)

    assert str(caught.value) == "Unable to parse a value as valid JSON: it is nested more than 200 levels deep."


@pytest.mark.parametrize(
    ("value", "java"),
    [
        (True, "Boolean"),
        (2**31, "Long"),
        (-(2**31), "Integer"),
        (2**63, "BigInteger"),
        (1.5, "Double"),
        ([], "ArrayList"),
        # Recorded: a resolver of a Boolean field that returned an object.
        ({"a": 1}, "LinkedHashMap"),
        (None, "null"),
    ],
)
def test_a_value_of_the_wrong_kind_is_called_by_its_java_class(value: object, java: str) -> None:
    assert java_class(value) == java
