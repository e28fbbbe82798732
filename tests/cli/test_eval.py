"""`headwater eval` on lines that are wrong in every way: one answer a line, and the process goes on."""

import json
import subprocess
import sys
from typing import Any

from tests.support.product import ROOT

SOUND = {"kind": "iot_sql", "sql": "SELECT a FROM 't'", "topic": "t", "payload": {"a": 1}}
HOSTILE: list[bytes] = [
    b"not JSON",
    b"\xff\xfe\x00",
    b"[]",
    b"3",
    b"null",
    b"{}",
    b'{"kind": null}',
    b'{"kind": ["iot_sql"]}',
    b'{"kind": "frobnicate"}',
    b"[" * 5000 + b"]" * 5000,
    b'{"kind": "iot_sql"}',
    b'{"kind": "iot_sql", "sql": 3, "topic": [], "payload": {}}',
    b'{"kind": "iot_sql", "sql": "SELECT", "topic": "t", "payload": {}}',
    b'{"kind": "iot_sql", "sql": "SELECT ' + b"(" * 20000 + b'", "topic": "t", "payload": {}}',
    b'{"kind": "iot_sql", "sql": "SELECT a FROM \'t\'", "topic": "t", "payload_text": 3}',
    b'{"kind": "iot_sql", "sql": "SELECT a FROM \'t\'", "topic": null, "payload": {"a": 1}, "now": "soon"}',
    b'{"kind": "event_filter"}',
    b'{"kind": "event_filter", "pattern": 3, "event": {}}',
    b'{"kind": "event_filter", "pattern": {"a": "b"}, "event": []}',
    b'{"kind": "event_filter", "pattern": {"a": [{"frob": 1}]}, "event": {"a": 1}}',
    b'{"kind": "subscription_filter"}',
    b'{"kind": "subscription_filter", "filter": 3, "payload": {}}',
    b'{"kind": "subscription_filter", "filter": {"filterGroup": [{"filters": 3}]}, "payload": 3}',
    b'{"kind": "appsync_utils"}',
    b'{"kind": "appsync_utils", "code": 3, "context": 3}',
    b'{"kind": "appsync_utils", "code": "util.error(", "context": {}}',
    b'{"kind": "appsync_utils", "code": "ctx.a.b.c", "context": []}',
    b'{"kind": "appsync_utils", "code": "(() => { for (const a of [1].concat([2])) {} return \'x\'.repeat(1e9) })()"}',
    b'{"kind": "appsync_utils", "code": "(function f() { return f() })()", "context": {}}',
    b'{"kind": "appsync_utils", "code": "Array(400).fill(0).reduce((value) => [value], 1)"}',
    b'{"kind": "iot_sql", "sql": "SELECT * FROM \'t\'", "topic": "t", "payload_text": "'
    + b"[" * 600
    + b"]" * 600
    + b'"}',
    b'{"kind": "appsync_utils", "code": "util.toJson(ctx)", "context": {"a": ' + b"[" * 900 + b"]" * 900 + b"}}",
    b'"' + b"x" * 11_000_000 + b'"',
]
ANSWERS = {"result", "none", "throws", "rejects", "unsupported"}


def evaluated(lines: list[bytes]) -> list[dict[str, Any]]:
    """The answers of one process to all lines."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "headwater", "eval"],
        input=b"\n".join(lines) + b"\n",
        cwd=ROOT,
        capture_output=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stderr == b""
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_every_hostile_line_has_one_answer_and_the_next_line_is_right() -> None:
    lines = [line for hostile in HOSTILE for line in (hostile, json.dumps(SOUND).encode())]

    answers = evaluated(lines)

    assert len(answers) == len(lines)
    for line, answer in zip(lines, answers, strict=True):
        assert set(answer) <= ANSWERS, (line[:200], answer)
        assert len(answer) == 1, (line[:200], answer)
    assert answers[1::2] == [{"result": {"a": 1}}] * len(HOSTILE)


def test_the_last_line_needs_no_line_break_and_empty_ones_have_no_answer() -> None:
    assert (
        evaluated([b"", json.dumps(SOUND).encode(), b"   ", json.dumps(SOUND).encode()]) == [{"result": {"a": 1}}] * 2
    )


def test_every_line_is_answered_before_the_next_one_is_written() -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "headwater", "eval"], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdin is not None
    assert process.stdout is not None

    answers = []
    for _ in range(3):
        process.stdin.write(json.dumps(SOUND).encode() + b"\n")
        process.stdin.flush()
        answers.append(json.loads(process.stdout.readline()))
    process.stdin.close()

    assert answers == [{"result": {"a": 1}}] * 3
    assert process.wait(10) == 0
    process.stdout.close()
