"""util's text helpers, Java patterns and identifiers."""

import re
from typing import Any

import pytest

from tests.unit.appsync_js.values import fault, value


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("util.base64Encode('héllo')", "aMOpbGxv"),
        ("util.base64Decode('aMOpbGxv')", "héllo"),
        ("util.base64Decode('8J+Ygg==')", "😂"),
        ("util.base64Decode('/w==')", "�"),
        ("util.base64Encode('')", ""),
        ("util.base64Encode(null)", None),
        ("util.urlEncode('a b&c=d~é*-._')", "a+b%26c%3Dd%7E%C3%A9*-._"),
        ("util.urlDecode('a+b%26c%3D%C3%A9')", "a b&c=é"),
        (r"""util.escapeJavaScript('it\'s "x" </é>\n\x7f')""", 'it\\\'s \\"x\\" <\\/\\u00E9>\\n\x7f'),
        (r"util.str.normalize('e\u0301', 'nfc')", "é"),
        (r"util.str.normalize('\ufb01', 'nfkc')", "fi"),
        ("util.math.roundNum(-2.5)", -2),
        ("util.math.roundNum(2.5)", 3),
        ("[util.math.minVal(1, 2), util.math.maxVal(1, 2)]", [1, 2]),
        ("JSON.parse('{')", ""),
        ("JSON.parse('[1]')", [1]),
    ],
)
def test_a_helper_gives_its_value(expression: str, expected: Any) -> None:
    assert value(expression) == expected


@pytest.mark.parametrize(
    ("pattern", "text", "matches"),
    [
        ("a*b", "aaaaab", True),
        ("a*b", "xaab", False),
        ("(?i)abc", "aBC", True),
        ("(?s)a.b", "a\nb", True),
        ("a.b", "a\nb", False),
        (r"\p{Alpha}+\p{Digit}", "abc4", True),
        (r"\p{Lower}\p{Upper}\p{Punct}", "aB!", True),
        ("[0-9&&[^5]]", "4", True),
        ("[0-9&&[^5]]", "5", False),
        ("[a-d[m-p]]+", "admp", True),
        ("[]a]+", "]a", True),
        ("[a-]+", "a-", True),
        (r"\Qa.b\E+", "a.bb", True),
        (r"\Qa.b\E", "axb", False),
        (r"\h+\R", " \t\r\n", True),
        (r"\Aabc\z", "abc", True),
        ("{x}/]", "{x}/]", True),
        (r"(?<n>a)\k<n>", "aa", True),
        (r"\+\d{2,3}\-\#", "+49-#", True),
    ],
)
def test_patterns_are_java_patterns_of_the_whole_text(pattern: str, text: str, matches: bool) -> None:
    expression = "util.matches(ctx.args.pattern, ctx.args.text)"

    assert value(expression, arguments={"pattern": pattern, "text": text}) is matches


@pytest.mark.parametrize("pattern", ["a++", "(?>a)", r"\G", "[", "(", "*"])
def test_a_pattern_without_counterpart_is_refused(pattern: str) -> None:
    assert pattern.strip("\\") in fault("util.matches(ctx.args.pattern, 'a')", arguments={"pattern": pattern})


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("'a-b-c'.replace('-', '+')", "a+b-c"),
        (r"'a1b22'.replaceAll('\\d+', '#')", "a#b#"),
        ("'a.b'.replaceAll('.', 'x')", "xxx"),
        (r"'John Smith'.replace('(\\w+) (\\w+)', '$2 $1')", "Smith John"),
        (r"'John'.replace('(?<first>J)', '${first}!')", "J!ohn"),
        (r"'cost'.replace('o', '\\$')", "c$st"),
    ],
)
def test_replace_takes_java_patterns_and_replacements(expression: str, expected: str) -> None:
    assert value(expression) == expected


@pytest.mark.parametrize(
    ("expression", "shape"),
    [
        ("util.autoId()", r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"),
        ("util.autoUlid()", r"01C5P7XAC6[0-9A-HJKMNP-TV-Z]{16}"),
        ("util.autoKsuid()", r"10Bn7[0-9A-Za-z]{22}"),
    ],
)
def test_ids_have_their_shape(expression: str, shape: str) -> None:
    assert re.fullmatch(shape, value(expression))


def test_random_numbers_stay_in_their_range() -> None:
    assert value("[1, 2, 3].every(() => util.math.randomDouble() < 1 && util.math.randomWithinRange(5, 7) <= 6)")


IAM = {"accountId": "1", "sourceIp": ["1.1.1.1"], "username": "u", "userArn": "arn"}
USER_POOL: dict[str, Any] = {
    "sourceIp": ["1.1.1.1"],
    "username": "u",
    "groups": None,
    "sub": "s",
    "issuer": "i",
    "claims": {},
    "defaultAuthStrategy": "ALLOW",
}


@pytest.mark.parametrize(
    ("identity", "name"),
    [
        (None, "API Key Authorization"),
        (IAM, "IAM Authorization"),
        (USER_POOL, "User Pool Authorization"),
        ({"sub": "s", "issuer": "i", "claims": {}}, "Open ID Connect Authorization"),
        ({"resolverContext": {"a": "b"}}, "Lambda Authorization"),
        ({}, "Lambda Authorization"),
        ({**IAM, "sourceIp": None}, "API Key Authorization"),
        ({"sub": "s", "issuer": "i", "claims": {}, "username": "u"}, "API Key Authorization"),
    ],
)
def test_the_authorization_mode_is_read_from_the_identity(identity: Any, name: str) -> None:
    assert value("util.authType()", identity=identity) == name


def test_a_value_that_is_no_unicode_text_is_a_fault() -> None:
    assert fault("'\\ud800'") == "the value holds a string that is not Unicode"


def test_a_number_to_round_may_be_text() -> None:
    assert value("util.math.roundNum('2.7')") == 3
