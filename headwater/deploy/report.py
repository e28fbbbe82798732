"""What `up` says when everything answers: one line a live resource, and commands to paste."""

from headwater.deploy.deployment import Deployment
from headwater.deploy.ports import Ports
from headwater.template.verdicts import judge
from headwater.values.amounts import counted


def report_lines(deployment: Deployment, ports: Ports, ready_s: float) -> list[str]:
    """The start-up report."""
    lines = [f"Headwater runs {deployment.options.template} (ready in {ready_s:.2f} s)", ""]
    width = max((len(one.logical_id) for one in deployment.live), default=0)
    lines += [f"  live  {one.logical_id:<{width}}  {one.type:<34}  {one.where}" for one in deployment.live]
    deploy_only = _deploy_only(deployment)
    if deploy_only:
        is_one = deploy_only == 1
        listed = f"`headwater check {deployment.options.template}` lists {'it' if is_one else 'them'}"
        lines.append(f"  {deploy_only} more {'is' if is_one else 'are'} deploy-only: {listed}")
    lines += ["", *_addresses(deployment, ports)]
    lines += _outputs(deployment)
    lines += [f"  warning: {warning}" for warning in deployment.warnings]
    lines += ["", *_commands(deployment, ports)]
    if deployment.options.devices:
        fleet = counted(deployment.options.devices, "simulated device")
        verb = "publishes" if deployment.options.devices == 1 else "publish"
        lines.append(f"{fleet} {verb} over MQTT. Ctrl-C stops everything.")
    return lines


def _deploy_only(deployment: Deployment) -> int:
    return sum(
        judge(one.logical_id, deployment.loaded.document.resources[one.logical_id], one.properties)[0].verdict
        == "deploy-only"
        for one in deployment.resources
    )


def _addresses(deployment: Deployment, ports: Ports) -> list[str]:
    ready = ports.ready_document(deployment)
    rows = [
        ("GraphQL", ready["graphqlUrl"]),
        ("Real-time", ready["realtimeUrl"]),
        ("API key", ready["apiKey"]),
        ("MQTT", f"{ready['mqttHost']}:{ready['mqttPort']}" if ready["mqttPort"] else None),
        ("MQTT, TLS", f"{ready['mqttHost']}:{ready['mqttTlsPort']}" if ready["mqttTlsPort"] else None),
        ("AWS APIs", f"{ready['awsEndpointUrl']}  (AWS_ENDPOINT_URL; any key works from this machine)"),
        ("Local CA", ready["caFile"]),
        ("Data", str(deployment.data_dir) if deployment.options.data_dir else "kept in memory only"),
    ]
    return [f"  {name:<10} {value}" for name, value in [*rows, *_further_keys(deployment, ready["apiKey"])] if value]


def _further_keys(deployment: Deployment, told: str | None) -> list[tuple[str, str]]:
    keys = ((key, api.logical_id) for api in deployment.apis.values() for key in api.api_keys)
    return [("API key", f"{key}  (of {logical_id})") for key, logical_id in keys if key != told]


def _outputs(deployment: Deployment) -> list[str]:
    width = max(map(len, deployment.outputs), default=0)
    return [f"  output  {name:<{width}}  {value}" for name, value in deployment.outputs.items()]


def _commands(deployment: Deployment, ports: Ports) -> list[str]:
    examples = deployment.loaded.examples
    if not examples:
        return []
    ready = ports.ready_document(deployment)
    lines: list[str] = []
    for name, text in examples.items():
        # A command is left out where this instance does not have what it needs, such as an API key.
        if not any("${" + key + "}" in text for key, value in ready.items() if value is None):
            for key, value in ready.items():
                text = text.replace("${" + key + "}", str(value))
            lines += [f"{name}:", f"  {text}", ""]
    return lines


def count_lines(deployment: Deployment) -> list[str]:
    """What each API counted since the start, named as CloudWatch's metrics; none for an API that nobody asked."""
    lines = []
    for name, api in deployment.apis.items():
        metrics = {**api.http.metrics(), **api.realtime.metrics()}
        counts = [f"{metric} {value}" for metric, value in metrics.items() if isinstance(value, int) and value]
        if counts:
            lines.append(f"  {name}  {', '.join(counts)}")
    return lines
