"""Log lines and faults name their place, in the sources where the code is a bundle with a source map."""

import base64
import json

import pytest

from headwater.appsync_js import HandlerOutcome, compile_module
from headwater.appsync_js.source_map import SourceMap

# What esbuild makes of the two modules below (`--bundle --format=esm --sourcemap=inline`).
BUNDLE = """\
// fault.ts
var fault = (ctx) => {
  console.log("fault", ctx.args);
  return ctx.args.none.id;
};

// resolver.ts
function request(ctx) {
  console.log("request");
  return fault(ctx);
}
var response = (ctx) => ctx.result;
export {
  request,
  response
};
"""
SOURCES = {
    "fault.ts": """\
interface Ctx { args: any }

export const fault = (ctx: Ctx) => {
    console.log("fault", ctx.args);
    return ctx.args.none.id;
};
""",
    "resolver.ts": """\
import { fault } from "./fault";

export function request(ctx: any) {
    console.log("request"); return fault(ctx);
}
export const response = (ctx: any) => ctx.result;
""",
}
MAPPINGS = (
    ";AAEO,IAAM,QAAQ,CAAC,QAAa;AAC/B,UAAQ,IAAI,SAAS,IAAI,IAAI;AAC7B,SAAO,IAAI,KAAK,KAAK;AACzB;;;"
    "ACHO,SAAS,QAAQ,KAAU;AAC9B,UAAQ,IAAI,SAAS;AAAG,SAAO,MAAM,GAAG;AAC5C;AACO,IAAM,WAAW,CAAC,QAAa,IAAI;"
)


def with_map(code: str, document: object, mark: str = "//#") -> str:
    text = base64.b64encode(json.dumps(document).encode()).decode()
    return f"{code}{mark} sourceMappingURL=data:application/json;base64,{text}\n"


def request(code: str, **arguments: object) -> HandlerOutcome:
    return compile_module(code, "code").call("request", {"arguments": arguments}, now_ms=0.0, entropy=b"")


@pytest.mark.parametrize(
    ("call", "line"),
    [
        ("console.log('seen', { a: 1 }, 2, null)", 'INFO - code.js:1:32: "seen" {"a":1} 2 null'),
        ("console.error('bad')", 'ERROR - code.js:1:32: "bad"'),
        ("console.debug(`${ctx.args.id}`)", 'DEBUG - code.js:1:32: "7"'),
        ("console.log()", "INFO - code.js:1:32: "),
        ("console.log(undefined)", "INFO - code.js:1:32: undefined"),
        ("console.log('comma',)", 'INFO - code.js:1:32: "comma"'),
        ("console.log('comment' /* , */)", 'INFO - code.js:1:32: "comment"'),
        ("console.log(...[1, 2])", "INFO - code.js:1:32: 1 2"),
        ("[3].forEach((n) => console.log(n))", "INFO - code.js:1:51: 3"),
        ("console.log(\n'a',\n'b')", 'INFO - code.js:1:32: "a" "b"'),
        ("const log = console.log; log(1)", "INFO - code.js: 1"),
    ],
)
def test_a_log_line_names_its_level_and_place_and_has_values_as_json(call: str, line: str) -> None:
    code = f"export function request(ctx) {{ {call}; }} export function response() {{}}"

    assert request(code, id="7").logs == [line]


def test_an_own_console_is_left_alone() -> None:
    code = "const console = { log: (...all) => all.length };"
    code += "export function request() { return console.log(1, 2); } export function response() {}"

    assert request(code).result == 2


@pytest.mark.parametrize("mark", ["//#", "//@"])
def test_a_bundle_with_a_map_names_places_of_its_sources(mark: str) -> None:
    document = {"version": 3, "sources": ["fault.ts", "resolver.ts"], "mappings": MAPPINGS, "names": []}

    outcome = request(with_map(BUNDLE, document, mark), id="7")

    assert outcome.logs == ['INFO - resolver.ts:4:5: "request"', 'INFO - fault.ts:4:5: "fault" {"id":"7"}']
    assert outcome.error is not None
    assert outcome.error.message.startswith("fault.ts:5:")


@pytest.mark.parametrize(
    "document",
    [
        None,
        [],
        {},
        {"sources": ["a.ts"]},
        {"sources": 5, "mappings": "AAAA"},
        {"sources": ["a.ts"], "mappings": "!"},
        {"sources": ["a.ts"], "mappings": "AAAg"},
        {"sources": ["a.ts"], "mappings": "ACAA"},
        {"sources": ["a.ts"], "mappings": "AADA"},
        {"sources": ["a.ts"], "mappings": "KAAA,JAAA"},
        {"sources": ["a.ts"], "mappings": "AAAA" * 2},
        {"sources": [], "mappings": ""},
        {"sources": ["a.ts"], "mappings": "A"},
    ],
)
def test_without_a_usable_map_places_are_of_the_code(document: object) -> None:
    assert request(with_map(BUNDLE, document)).logs[0] == 'INFO - code.js:9:3: "request"'


def test_a_map_that_is_no_json_is_none() -> None:
    assert not SourceMap.of("//# sourceMappingURL=data:application/json;base64,AAAA").lines
    assert not SourceMap.of("//# sourceMappingURL=data:application/json;base64,A").lines
    assert not SourceMap.of("//# sourceMappingURL=resolver.js.map").lines


def test_the_last_map_counts_and_keeps_what_is_before_its_first_column() -> None:
    first = with_map("", {"sources": ["one.ts"], "mappings": "AAAA"})
    both = SourceMap.of(first + with_map("", {"sources": ["two.ts"], "mappings": "IAEE;;A,CACA"}))

    assert [both.place(1, column) for column in (4, 5, 99)] == ["code.js:1:4", "two.ts:3:3", "two.ts:3:3"]
    assert both.place(2, 1) == "code.js:2:1"
    assert [both.place(3, column) for column in (1, 2)] == ["code.js:3:1", "two.ts:4:3"]
