"""What watches the stack: every queue and stream function has its alarms, every alarm its runbook."""

import json
import re
from typing import Any

from tests.template.template_file import ROOT, load_template, resources_of_type

TEMPLATE = load_template()
ALARMS = resources_of_type(TEMPLATE, "AWS::CloudWatch::Alarm")
FUNCTIONS = resources_of_type(TEMPLATE, "AWS::Serverless::Function")
RUNBOOKS = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")


def watched(metric: str) -> set[str]:
    """Logical ids that alarms on a metric name in their dimensions."""
    found: set[str] = set()
    for alarm in ALARMS.values():
        if alarm["MetricName"] == metric:
            for dimension in alarm.get("Dimensions", []):
                value: Any = dimension["Value"]
                if isinstance(value, dict):
                    found.add(value["Ref"] if "Ref" in value else value["Fn::GetAtt"][0])
    return found


def test_every_queue_has_an_alarm_and_is_reached_over_tls_alone() -> None:
    queues = set(resources_of_type(TEMPLATE, "AWS::SQS::Queue"))
    # It holds work that goes on, not letters that wait for a person.
    letters = queues - {"ErasureQueue"}
    (policy,) = resources_of_type(TEMPLATE, "AWS::SQS::QueuePolicy").values()

    assert watched("ApproximateNumberOfMessagesVisible") == letters
    assert {queue["Ref"] for queue in policy["Queues"]} == queues


def test_every_function_on_a_stream_is_watched_for_its_age_and_errors() -> None:
    on_streams = {
        name
        for name, function in FUNCTIONS.items()
        if any(event["Type"] in ("Kinesis", "DynamoDB") for event in function.get("Events", {}).values())
    }

    assert watched("IteratorAge") == on_streams
    assert on_streams <= watched("Errors")
    assert {name for name, function in FUNCTIONS.items() if "EventInvokeConfig" in function} <= watched("Errors")


def test_duration_alarms_are_at_four_fifths_of_the_timeout() -> None:
    for name, alarm in ALARMS.items():
        if alarm["MetricName"] == "Duration":
            function = FUNCTIONS[alarm["Dimensions"][0]["Value"]["Ref"]]
            assert alarm["Threshold"] == function["Timeout"] * 800, name


def test_the_composite_alarm_holds_every_alarm() -> None:
    rule = TEMPLATE["Resources"]["ServiceAlarm"]["Properties"]["AlarmRule"]["Fn::Sub"]

    assert set(re.findall(r"ALARM\(\$\{(\w+)\}\)", rule)) == set(ALARMS)


def test_every_alarm_has_a_runbook() -> None:
    missing = [name for name in ALARMS if f"`{name}`" not in RUNBOOKS]

    assert missing == []


def test_the_dashboard_is_json_and_names_resources_that_exist() -> None:
    body = TEMPLATE["Resources"]["Dashboard"]["Properties"]["DashboardBody"]["Fn::Sub"]

    widgets = json.loads(body)["widgets"]

    assert len(widgets) >= 9
    names = {name.partition(".")[0] for name in re.findall(r"\$\{([\w.]+)\}", body)}
    assert names <= set(TEMPLATE["Resources"])


def test_the_stack_stays_within_cloudformations_limits() -> None:
    # SAM makes a log-less version of each function: an event source mapping or two on top.
    assert len(TEMPLATE["Resources"]) < 400
    assert len(TEMPLATE["Parameters"]) <= 200
    assert len(TEMPLATE["Outputs"]) <= 200
    assert (ROOT / "infra" / "template.yaml").stat().st_size < 1_000_000


def test_what_the_stack_keeps_is_encrypted_and_ends() -> None:
    for name, queue in resources_of_type(TEMPLATE, "AWS::SQS::Queue").items():
        assert queue["SqsManagedSseEnabled"] is True, name
        assert queue["MessageRetentionPeriod"] == 1_209_600, name
    for name, group in resources_of_type(TEMPLATE, "AWS::Logs::LogGroup").items():
        assert group["RetentionInDays"] == 30, name
