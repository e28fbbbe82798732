"""What handlers count: dead letters by reason, as CloudWatch's embedded metric format (a line of log, no call)."""

from collections import Counter
from collections.abc import Iterable

from aws_lambda_powertools.metrics import MetricUnit, single_metric

NAMESPACE = "Headwater"


def count_dead_letters(service: str, reasons: Iterable[str]) -> None:
    """Write one metric for each reason; nothing when there is none, which is nearly always."""
    for reason, count in sorted(Counter(reasons).items()):
        with single_metric(name="DeadLetters", unit=MetricUnit.Count, value=count, namespace=NAMESPACE) as metric:
            metric.add_dimension(name="service", value=service)
            metric.add_dimension(name="reason", value=reason)
