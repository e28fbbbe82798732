"""Functions with arguments of every type. Source: AWS IoT Core Developer Guide, "Functions"."""

import math
from typing import Any

import pytest

from headwater.rules import UNDEFINED
from tests.unit.rules.evaluation import NOW_MS, value

NUMERIC = "abs acos asin atan ceil cos cosh exp floor ln log round sign sin sinh sqrt tan tanh bitnot chr".split()
PAIRS = "atan2 bitand bitor bitxor mod power remainder".split()
TEXT = "length lower ltrim numbytes rtrim trim upper md2 md5 sha1 sha224 sha256 sha384 sha512".split()
TEXT_PAIRS = "endswith startswith indexof regexp_matches regexp_substr".split()
NOT_NUMBERS = ("bool", "str", "arr", "obj", "nul", "missing")


@pytest.mark.parametrize("name", NUMERIC)
@pytest.mark.parametrize("other", NOT_NUMBERS)
def test_a_number_s_function_of_what_is_no_number_is_undefined(name: str, other: str) -> None:
    assert value(f"{name}({other})") is UNDEFINED


@pytest.mark.parametrize("name", NUMERIC)
def test_a_number_s_function_takes_strings_that_are_numbers(name: str) -> None:
    assert value(f"{name}('0.5')") == value(f"{name}(0.5)")


@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.parametrize("other", NOT_NUMBERS)
def test_a_function_of_two_numbers_is_undefined_without_them(name: str, other: str) -> None:
    assert value(f"{name}(1, {other})") is UNDEFINED
    assert value(f"{name}({other}, 1)") is UNDEFINED
    assert value(f"{name}('8', '3')") == value(f"{name}(8, 3)")


@pytest.mark.parametrize("name", [*NUMERIC, *PAIRS, *TEXT, *TEXT_PAIRS, "trunc", "get", "isNull", "topic", "rand"])
def test_a_wrong_number_of_arguments_is_undefined(name: str) -> None:
    assert value(f"{name}(1, 2, 3, 4)") is UNDEFINED


@pytest.mark.parametrize("name", TEXT)
def test_a_string_s_function_converts_everything_but_nothing(name: str) -> None:
    for other in ("nul", "missing"):
        assert value(f"{name}({other})") is UNDEFINED
    for given, text in (("int", "'2'"), ("dec", "'2.5'"), ("bool", "'true'"), ("arr", "'[1,\"a\"]'")):
        assert value(f"{name}({given})") == value(f"{name}({text})")


@pytest.mark.parametrize("name", TEXT_PAIRS)
def test_a_function_of_two_strings_is_undefined_with_nothing(name: str) -> None:
    for other in ("nul", "missing"):
        assert value(f"{name}('cat', {other})") is UNDEFINED
        assert value(f"{name}({other}, 'cat')") is UNDEFINED


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("abs(-5)", 5),
        ("abs('-5.123')", 5.123),
        ("acos(0)", math.pi / 2),
        ("acos(2)", UNDEFINED),
        ("asin(0)", 0),
        ("atan(0)", 0),
        ("atan2(1, 0)", math.pi / 2),
        ("bitand(13, 5)", 5),
        ("bitand(13.9, 5)", 5),
        ("bitor(8, 5)", 13),
        ("bitxor(13, 5)", 8),
        ("bitnot(13)", -14),
        ("ceil(1.2)", 2),
        ("ceil(-1.2)", -1),
        ("chr(65)", "A"),
        ("chr(49.9)", "1"),
        ("chr('65')", "A"),
        ("chr(128)", UNDEFINED),
        ("chr(-1)", UNDEFINED),
        ("cos(0)", 1),
        ("cosh(2.3)", 5.037220649268761),
        ("exp(1)", math.e),
        ("exp(1000)", UNDEFINED),
        ("floor(1.2)", 1),
        ("floor(-1.2)", -2),
        ("floor(arr)", UNDEFINED),
        ("ln(2.718281828459045)", 1),
        ("ln(0)", UNDEFINED),
        ("log(100)", 2),
        ("mod(8, 3)", 2),
        ("mod(8, 0)", UNDEFINED),
        ("power(2, 5)", 32),
        ("power(-8, 0.5)", UNDEFINED),
        ("remainder(8, 3)", 2),
        ("round(1.2)", 1),
        ("Round(1.5)", 2),
        ("round(1.7)", 2),
        ("round(-1.1)", -1),
        ("round(-1.5)", -2),
        ("sign(-7)", -1),
        ("sign(0)", 0),
        ("sign('13.5')", 1),
        ("sin(0)", 0),
        ("sinh(2.3)", math.sinh(2.3)),
        ("sqrt(9)", 3),
        ("sqrt(-9)", UNDEFINED),
        ("tan(3)", -0.1425465430742778),
        ("tanh(2.3)", 0.9800963962661914),
        ("trunc(2.3, 0)", 2),
        ("trunc(2.3123, 2)", 2.31),
        ("trunc(2.888, 2)", 2.88),
        ("trunc(2.00, 5)", 2),
        ("trunc(-2.888, 1.9)", -2.8),
        ("trunc(2.888, -3)", 2),
        ("trunc(2.888, 100)", 2.888),
        ("trunc('2.888', 1)", 2.8),
        ("trunc(2.888, '1')", UNDEFINED),
        ("trunc(7, 3)", 7),
        ("trunc(true, 1)", UNDEFINED),
    ],
)
def test_mathematics(expression: str, expected: Any) -> None:
    found = value(expression)

    assert found == expected or (isinstance(expected, float) and math.isclose(found, expected))


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("nanvl(8, 3)", 8),
        ("Nanvl(missing, 3)", 3),
        ("nanvl(null, 3)", 3),
        ("nanvl('x', 3)", "x"),
        ("nanvl(2.5, 3)", 2.5),
        ("isNull(null)", True),
        ("isNull(missing)", False),
        ("isNull(5)", False),
        ("isUndefined(5)", False),
        ("isUndefined(null)", False),
        ("isUndefined(floor([1,2,3]))", True),
        ("get_or_default(missing, 1)", 1),
        ("get_or_default(null, 1)", None),
        ('get(["a", "b", "c"], 1)', "b"),
        ("get(['a', 'b'], '1')", "b"),
        ("get(['a', 'b'], 0.6)", "b"),
        ("get(['a', 'b'], -1)", UNDEFINED),
        ("get(['a', 'b'], 2)", UNDEFINED),
        ("get(['a', 'b'], true)", UNDEFINED),
        ("get(['a', 'b'], null)", UNDEFINED),
        ('get({"a":"b"}, "a")', "b"),
        ("get({'a':'b'}, 'z')", UNDEFINED),
        ("get({'1':'b'}, 1)", UNDEFINED),
        ('get("abc", 1)', "b"),
        ("get('abc', 3)", UNDEFINED),
        ("get(5, 0)", UNDEFINED),
        ("get(null, 0)", UNDEFINED),
        ("concat()", UNDEFINED),
        ("concat(1)", 1),
        ("concat(null)", None),
        ("concat([1, 2, 3], 4)", [1, 2, 3, 4]),
        ('concat([1, 2, 3], "hello", [4, 5, 6])', [1, 2, 3, "hello", 4, 5, 6]),
        ('concat("con", "cat")', "concat"),
        ('concat(1, "hello")', "1hello"),
        ('concat("he","is","man")', "heisman"),
        ("concat(1, 2)", UNDEFINED),
        ("concat('a', null)", UNDEFINED),
        ("concat('a', missing)", UNDEFINED),
        ("transform('enrichArray', {'d': 1}, [{'a': 2}, {'b': 3}])", [{"a": 2, "d": 1}, {"b": 3, "d": 1}]),
        ("transform('other', {'d': 1}, [{'a': 2}])", UNDEFINED),
        ("transform('enrichArray', 1, [{'a': 2}])", UNDEFINED),
        ("transform('enrichArray', {'d': 1}, 2)", UNDEFINED),
        ("transform('enrichArray', {'d': 1}, [2])", UNDEFINED),
    ],
)
def test_collections_and_missing_values(expression: str, expected: Any) -> None:
    assert value(expression) == expected


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ('endswith("cat","at")', True),
        ("endswith(2.5, '.5')", True),
        ('startswith("ranger","ran")', True),
        ("startswith(true, 't')", True),
        ('indexof("abcd", "bc")', 1),
        ("indexof('abcd', 'x')", -1),
        ('length("hi")', 2),
        ("length(false)", 5),
        ("numbytes('€')", 3),
        ('lower("HELLO")', "hello"),
        ('lower(["HELLO"])', '["hello"]'),
        ('upper(["hello"])', '["HELLO"]'),
        ('lpad("hello", 2)', "  hello"),
        ("lpad(1, 3)", "   1"),
        ("lpad('x', 1.9)", " x"),
        ("lpad('x', '2')", "  x"),
        ("lpad('x', -1)", "x"),
        ("lpad('x', 1001)", " " * 1000 + "x"),
        ("lpad('x', true)", UNDEFINED),
        ("lpad(null, 2)", UNDEFINED),
        ("rpad('hello', 2)", "hello  "),
        ("rpad(1, 3)", "1   "),
        ('Ltrim(" h i ")', "h i "),
        ('rtrim(" h i ")', " h i"),
        ('Trim(" hi ")', "hi"),
        ("trim(true)", "true"),
        ('replace("abcd", "bc", "x")', "axd"),
        ('replace("abcdabcd", "b", "x")', "axcdaxcd"),
        ("replace(12.5, '.', ',')", "12,5"),
        ("replace('a', null, 'x')", UNDEFINED),
        ('substring("012345", 0)', "012345"),
        ('substring("012345", 2)', "2345"),
        ('substring("012345", 2.745)', "2345"),
        ("substring(123, 2)", "3"),
        ('substring("012345", -1)', "012345"),
        ("substring(true, 1.2)", "rue"),
        ("substring(false, -2.411E247)", "false"),
        ('substring("012345", 1, 3)', "12"),
        ('substring("012345", -50, 50)', "012345"),
        ('substring("012345", 3, 1)', ""),
        ("substring('012345', 2, 2)", ""),
        ("substring('012345', 0, null)", UNDEFINED),
        ("substring('012345', missing)", UNDEFINED),
        ("substring(null, 1)", UNDEFINED),
        ('md2("hello")', "a9046c73e00331af68917d3804f70655"),
        ('md5("hello")', "5d41402abc4b2a76b9719d911017c592"),
        ("sha1('hello')", "aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d"),
        ("sha224('hello')", "ea09ae9cc6768c50fcee903ed054556e5bfc8347907f12598aa24193"),
        ("sha256('hello')", "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"),
        ("encode('ab', 'base64')", "YWI="),
        ("encode(obj, 'base64')", "eyJrIjoxfQ=="),
        ("encode('ab', 'base32')", UNDEFINED),
        ("decode('eyAidGVtcGVyYXR1cmUiOiAzMyB9Cg==', 'base64').temperature", 33),
        ("decode('aGVsbG8=', 'base64')", "hello"),
        ("decode('aGVsbG8', 'base64')", "hello"),
        ("decode('ODA=', 'base64')", 80),
        ("decode('%%', 'base64')", None),
        ("decode('/w==', 'base64')", None),
        ("decode('aGVsbG8=', 'x')", UNDEFINED),
    ],
)
def test_strings(expression: str, expected: Any) -> None:
    assert value(expression) == expected


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("accountid()", "123456789012"),
        ("clientid()", "device-1"),
        ("principal()", "thumb"),
        ("sourceip()", "192.0.2.1"),
        ("traceid()", "00010203-0405-4607-8809-0a0b0c0d0e0f"),
        ("newuuid()", "00010203-0405-4607-8809-0a0b0c0d0e0f"),
        ("timestamp()", NOW_MS),
        ("topic()", "a/b/c"),
        ("topic(1)", "a"),
        ("topic(2.9)", "b"),
        ("topic('3')", "c"),
        ("topic(0)", UNDEFINED),
        ("topic(4)", UNDEFINED),
        ("topic(null)", UNDEFINED),
        ("sql_version()", "2016-03-23"),
        ("get_mqtt_property('content_type')", "text/plain"),
        ("get_mqtt_property('bogus')", UNDEFINED),
        ("get_mqtt_property(1)", UNDEFINED),
        ("get_user_properties('k')", ["v1", "v2"]),
        ("get_user_properties('none')", UNDEFINED),
        ("get_user_properties()", [{"k": "v1"}, {"o": "w"}, {"k": "v2"}]),
    ],
)
def test_the_publish(expression: str, expected: Any) -> None:
    fields = {
        "client_id": "device-1",
        "principal": "thumb",
        "source_ip": "192.0.2.1",
        "properties": {"content_type": "text/plain"},
        "user_properties": (("k", "v1"), ("o", "w"), ("k", "v2")),
    }

    assert value(expression, **fields) == expected


def test_without_mqtt_there_is_no_client() -> None:
    assert value("clientid()") == "n/a"
    for function in ("principal()", "sourceip()", "traceid()"):
        assert value(function) is UNDEFINED


def test_rand_is_between_zero_and_one() -> None:
    assert 0 <= value("rand()") < 1


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("parse_time(\"yyyy.MM.dd G 'at' HH:mm:ss z\", 100000000, 'America/Belize')", "1970.01.01 AD at 21:46:40 CST"),
        ("parse_time(\"yyyy.MM.dd G 'at' HH:mm:ss z\", 100000000)", "1970.01.02 AD at 03:46:40 UTC"),
        ("parse_time('EEEE, MMMM d, yyyy h:mm a', 1700000000123)", "Tuesday, November 14, 2023 10:13 PM"),
        ("parse_time('yy-M-d H:m:s.SSS', 1700000000123)", "23-11-14 22:13:20.123"),
        ("parse_time('xxxx-ww-e DDD', 1700000000123)", "2023-46-2 318"),
        ("parse_time('k K hh C', 0)", "24 0 12 19"),
        ("parse_time('Z ZZ ZZZ', 0, 'America/Belize')", "-0600 -06:00 America/Belize"),
        ("parse_time('HH:mm z', 0, '+05:30')", "05:30 +05:30"),
        ("parse_time(\"hh 'o''clock' a\", 0)", "12 o'clock AM"),
        ("parse_time('yyyy', '1700000000123')", "2023"),
        ("parse_time('yyyy', 0, 'Nope/Zone')", UNDEFINED),
        ("parse_time('yyyy', 'x')", UNDEFINED),
        ("parse_time('yyyy', null)", UNDEFINED),
        ("parse_time('yyyy', 0, null)", UNDEFINED),
        ("parse_time('b', 0)", UNDEFINED),
        ('parse_time("\'open", 0)', UNDEFINED),
        ("parse_time('yyyy', 1E300)", UNDEFINED),
        ("time_to_epoch('2020-04-03 09:45:18 UTC+01:00', 'yyyy-MM-dd HH:mm:ss VV')", 1585903518000),
        ("time_to_epoch('18 December 2015', 'dd MMMM yyyy')", 1450396800000),
        ("time_to_epoch('2007-12-03 10:15:30.592 America/Los_Angeles', 'yyyy-MM-dd HH:mm:ss.SSS z')", 1196705730592),
        ("time_to_epoch('2020-04-03T09:45:18Z', \"yyyy-MM-dd'T'HH:mm:ssX\")", 1585907118000),
        ("time_to_epoch('2020-04-03T09:45:18+02:00', \"yyyy-MM-dd'T'HH:mm:ssXXX\")", 1585899918000),
        ("time_to_epoch('20200403094518', 'yyyyMMddHHmmss')", 1585907118000),
        ("time_to_epoch('3 Apr 20 9:45 PM', 'd MMM yy h:mm a')", 1585950300000),
        ("time_to_epoch('2020-04-03', 'yyyy-MM-dd[ HH:mm]')", 1585872000000),
        ("time_to_epoch('2021-02-31', 'yyyy-MM-dd')", 1614470400000),
        ("time_to_epoch('2021-02-32', 'yyyy-MM-dd')", UNDEFINED),
        ("time_to_epoch('2020-4-3', 'yyyy-MM-dd')", UNDEFINED),
        ("time_to_epoch('18 december 2015', 'dd MMMM yyyy')", UNDEFINED),
        ("time_to_epoch('25:00', 'HH:mm')", UNDEFINED),
        ("time_to_epoch('Sat 2020-04-03', 'EEE yyyy-MM-dd')", UNDEFINED),
        ("time_to_epoch('x', 'yyyy')", UNDEFINED),
        ("time_to_epoch(5, 'yyyy')", UNDEFINED),
    ],
)
def test_times(expression: str, expected: Any) -> None:
    assert value(expression) == expected
