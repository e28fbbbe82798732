"""Every parameter of event source mappings and every rule they follow has a test named after it.

The parameters are those of the API's model in botocore, so that a new one fails here until it is tested or refused.
"""

import re
from pathlib import Path

import botocore.session
import pytest

TESTS = Path(__file__).parents[2]
FOLDERS = ("patterns", "unit/eventsource", "integration")
# What the name of a parameter's test says.
PARAMETERS = {
    "EventSourceArn": "two_functions_read_a_stream",
    "FunctionName": "update_changes_the_batch_size_and_the_function",
    "Enabled": "disabled_mapping",
    "BatchSize": "batch_size_closes_a_batch",
    "FilterCriteria": "filter_passes_data_and_metadata",
    "MaximumBatchingWindowInSeconds": "batching_window_gathers",
    "ParallelizationFactor": "parallelization_factor",
    "StartingPosition": "starting_position_latest",
    "StartingPositionTimestamp": "starting_position_at_timestamp",
    "DestinationConfig": "s3_destination",
    "MaximumRecordAgeInSeconds": "maximum_record_age",
    "BisectBatchOnFunctionError": "bisect_isolates",
    "MaximumRetryAttempts": "maximum_retry_attempts",
    "TumblingWindowInSeconds": "tumbling_window",
    "FunctionResponseTypes": "function_response_types",
    "ScalingConfig": "maximum_concurrency",
    "Tags": "metrics_key_and_tags",
    "KMSKeyArn": "metrics_key_and_tags",
    "MetricsConfig": "metrics_key_and_tags",
}
# For event sources that do not run here; `test_parameters_of_other_sources_are_refused` gives each of them.
OTHER_SOURCES = {
    "LoggingConfig",
    "Topics",
    "Queues",
    "SourceAccessConfigurations",
    "SelfManagedEventSource",
    "AmazonManagedKafkaEventSourceConfig",
    "SelfManagedKafkaEventSourceConfig",
    "DocumentDBEventSourceConfig",
    "ProvisionedPollerConfig",
}
RULES = {
    "a batch closes at its size": "batch_size_closes_a_batch",
    "a batch closes at its window": "batching_window_holds",
    "a batch closes at 6 MB": "six_megabytes",
    "one key stays in order across lanes": "keeps_the_order_of_each",
    "a split uses up no retry": "splits_use_up_no_retry",
    "throttles use up no retry": "throttles_use_up_no_retry",
    "the default retries without end": "retries_are_endless",
    "no retry means one call": "no_retries_calls_once",
    "an expired record is discarded": "records_above_the_maximum_age_are_discarded",
    "a partial response goes back to the lowest": "from_the_lowest_reported_record",
    "a cut batch starts its retries anew": "cuts_a_batch_starts_its_retries_anew",
    "a malformed response fails the whole batch": "malformed_response_fails_the_whole_batch",
    "an empty response is success": "empty_response_is_success",
    "a partial response bisects at the record": "partial_response_bisects_at_the_reported_record",
    "a response is not read without the type": "response_is_not_read_without_function_response_types",
    "a timeout is a failed batch": "timeout_is_a_failed_batch",
    "a queue destination gets the metadata": "retries_end_at_the_queue_with_the_invocation_record",
    "an S3 destination gets the payload": "s3_destination_keeps_the_whole_event",
    "a topic destination notifies": "topic_destination",
    "the destination comes before the checkpoint": "sent_before_the_checkpoint_passes",
    "a window carries its state": "tumbling_window_carries_state",
    "a window's state has a limit": "state_above_one_megabyte",
    "resharding ends a window": "closed_shard_terminates_its_window_early",
    "windows need one lane": "tumbling_window_needs_one_lane",
    "parents come before their children": "children_of_a_split_are_read_after_the_parent",
    "resharding keeps the order": "resharding_under_load_keeps_each_keys_order",
    "the checkpoint outlives a disablement": "disabled_mapping_keeps_its_place",
    "the checkpoint outlives kill -9": "goes_on_after_kill_9",
    "a kill at any step loses nothing": "killed_anywhere",
    "filtered records are checkpointed": "filtered_records_are_checkpointed",
    "an idle mapping reads nothing": "idle_mapping_reads_nothing",
    "an idle queue is not polled": "idle_queue_is_not_polled",
    "a queue's failures become visible again": "failed_batch_comes_back_after_the_visibility_timeout",
    "a queue's reported messages stay": "reported_messages_come_again",
    "a FIFO group stays in order": "fifo_groups_stay_in_order",
}


def _test_names() -> list[str]:
    found: list[str] = []
    for folder in FOLDERS:
        for path in sorted((TESTS / folder).glob("test_*.py")):
            found += re.findall(r"^(?:async )?def (test_\w+)", path.read_text(), re.MULTILINE)
    return found


NAMES = _test_names()


def test_every_parameter_of_the_api_is_tested_or_of_another_source() -> None:
    model = botocore.session.get_session().get_service_model("lambda")
    members = {
        member
        for operation in ("CreateEventSourceMapping", "UpdateEventSourceMapping")
        for member in model.operation_model(operation).input_shape.members
    }

    assert members - {"UUID"} == set(PARAMETERS) | OTHER_SOURCES


@pytest.mark.parametrize("phrase", [*PARAMETERS.values(), *RULES.values()], ids=[*PARAMETERS, *RULES])
def test_there_is_a_test_of_that_name(phrase: str) -> None:
    assert [name for name in NAMES if phrase in name]
