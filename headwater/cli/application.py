"""The commands and their options."""

import gc
import re
import sys
from pathlib import Path
from typing import Annotated

import typer

_CHOICES = {"--sync": ("normal", "full"), "--quotas": ("observe", "enforce"), "--mqtt-profile": ("aws", "standard")}
# A name, an IPv4 or an IPv6 address.
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9])?|[0-9A-Fa-f:]+")
application = typer.Typer(
    name="headwater",
    help="Run an AppSync, IoT Core and Kinesis SAM template on this machine.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
data_application = typer.Typer(help="Export, import or reset the data directory of a stopped runtime.")
application.add_typer(data_application, name="data", no_args_is_help=True)
iam_application = typer.Typer(help="Permissions of a running instance.")
application.add_typer(iam_application, name="iam", no_args_is_help=True)
device_application = typer.Typer(help="Devices of a running instance.")
explain_application = typer.Typer(help="Say why something of a running instance happened, or did not.")
application.add_typer(explain_application, name="explain", no_args_is_help=True)
application.add_typer(device_application, name="device", no_args_is_help=True)

DataDir = Annotated[Path, typer.Option(help="Where state lives.")]
InstanceDir = Annotated[Path, typer.Option(help="The data directory of the instance.")]


def _pairs(pairs: list[str], option: str = "--param") -> dict[str, str]:
    given: dict[str, str] = {}
    for pair in pairs:
        name, separator, value = pair.partition("=")
        if not separator or not name:
            raise typer.BadParameter(f"{pair!r} is not Name=Value", param_hint=option)
        given[name] = value
    return given


@application.command()
def up(
    template: Annotated[Path, typer.Option(help="The SAM or CloudFormation template.")] = Path("infra/template.yaml"),
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="GraphQL, real-time and AWS APIs; 0 picks a free one.")
    ] = 8080,
    mqtt_port: Annotated[
        int, typer.Option(min=0, max=65535, help="Plain MQTT without credentials; 0 picks a free one.")
    ] = 1883,
    mqtt_tls_port: Annotated[int, typer.Option(min=0, max=65535, help="MQTT with X.509; 0 picks a free one.")] = 8883,
    mqtt_open: Annotated[bool, typer.Option(help="Plain MQTT also on addresses other machines reach.")] = False,
    mqtt_profile: Annotated[str, typer.Option(help="aws: as IoT Core; standard: as the specification.")] = "aws",
    data_dir: DataDir = Path(".headwater"),
    memory: Annotated[bool, typer.Option(help="Keep nothing over a restart.")] = False,
    api_key: Annotated[str, typer.Option(help="The API key to accept; made up and kept if not given.")] = "",
    devices: Annotated[int, typer.Option(min=0, help="Simulate this many devices over MQTT.")] = 0,
    ready_file: Annotated[Path | None, typer.Option(help="Written as JSON when everything answers.")] = None,
    param: Annotated[list[str] | None, typer.Option(help="A template parameter, Name=Value.")] = None,
    sync: Annotated[str, typer.Option(help="normal survives kill -9; full also a power cut.")] = "normal",
    quotas: Annotated[str, typer.Option(help="observe warns about AWS rates, enforce applies them.")] = "observe",
    max_subscriptions: Annotated[
        int, typer.Option(min=1, help="How many subscriptions a real-time connection may have.")
    ] = 200,
    iam: Annotated[bool, typer.Option(help="Hold function roles to their policies.")] = True,
    allow_host: Annotated[
        list[str] | None, typer.Option(help="A host beyond this machine that HTTP data sources may call.")
    ] = None,
    debug_function: Annotated[
        list[str] | None, typer.Option(help="Run a function under a debugger, NAME or NAME=PORT; its timeout is off.")
    ] = None,
) -> None:
    """Run a template on this machine until Ctrl-C: its APIs, tables, streams, queues, functions and topic rules.

    Says where each of them answers when all of them do. What is stored outlives a stop, and kill -9.
    """
    gc.disable()  # until the start is over: next to nothing of what it makes is garbage
    from headwater.cli.up import run_up
    from headwater.deploy.options import UpOptions

    _check_choices({"--sync": sync, "--quotas": quotas, "--mqtt-profile": mqtt_profile})
    options = UpOptions(
        template=template,
        host=host,
        port=port,
        mqtt_port=mqtt_port,
        mqtt_tls_port=mqtt_tls_port,
        mqtt_open=mqtt_open,
        mqtt_profile=mqtt_profile,  # type: ignore[arg-type]  # checked above
        data_dir=None if memory else data_dir,
        api_key=api_key,
        devices=devices,
        ready_file=ready_file,
        parameters=_pairs(param or []),
        sync=sync,  # type: ignore[arg-type]  # checked above
        enforces_quotas=quotas == "enforce",
        max_subscriptions=max_subscriptions,
        checks_iam=iam,
        allowed_hosts=_hosts(allow_host),
        debug_ports=_debug_ports(debug_function or []),
    )
    sys.exit(run_up(options))


def _debug_ports(given: list[str]) -> dict[str, int]:
    """Ports by function; those not given are debugpy's usual one and the following."""
    ports: dict[str, int] = {}
    for position, text in enumerate(given):
        name, separator, port = text.partition("=")
        if not name or (separator and not (port.isdigit() and 0 < int(port) < 65536)):
            raise typer.BadParameter(f"{text!r} is not NAME or NAME=PORT", param_hint="--debug-function")
        ports[name] = int(port) if separator else 5678 + position
    return ports


def _hosts(given: list[str] | None) -> tuple[str, ...]:
    for host in given or []:
        # Anything more would never match the host of an endpoint.
        if not _HOST.fullmatch(host):
            raise typer.BadParameter(
                f"{host!r} is not a host name or an address: no scheme, port or path", param_hint="--allow-host"
            )
    return tuple(host.lower() for host in given or [])


def _check_choices(given: dict[str, str]) -> None:
    for option, value in given.items():
        if value not in _CHOICES[option]:
            raise typer.BadParameter(f"{value!r} is not one of {', '.join(_CHOICES[option])}", param_hint=option)


@application.command()
def check(
    template: Annotated[Path, typer.Argument(help="The template to judge.")],
    param: Annotated[list[str] | None, typer.Option(help="A template parameter, Name=Value.")] = None,
    allow_host: Annotated[
        list[str] | None, typer.Option(help="A host beyond this machine that HTTP data sources may call.")
    ] = None,
) -> None:
    """Say whether each resource and property is live, deploy-only or refused; exit 2 if `up` would not start it."""
    from headwater.cli.check import run_check

    sys.exit(run_check(template, _pairs(param or []), _hosts(allow_host)))


@application.command("eval")
def evaluate() -> None:
    """Evaluate JSON lines from standard input: resolver utilities, topic rules, event and subscription filters.

    Each line is one object and is answered by one line. What it holds depends on its "kind":

    appsync_utils: "code" (an expression) and "context"

    iot_sql: "sql", "topic" and "payload"

    event_filter: "pattern" and "event"

    subscription_filter: "filter" and "payload"
    """
    from headwater.cli.evaluate import run_evaluate

    sys.exit(run_evaluate(sys.stdin.buffer, sys.stdout.buffer))


@application.command()
def plan(
    devices: Annotated[int, typer.Option(help="How many devices send.")],
    rate: Annotated[float, typer.Option(help="Messages a second of one device.")] = 1.0,
    payload_bytes: Annotated[int, typer.Option("--bytes", help="Size of one message's payload.")] = 200,
    subscribers: Annotated[int, typer.Option(help="Clients that are connected.")] = 1,
    watched: Annotated[float, typer.Option(help="The share of devices, 0 to 1, that each client watches.")] = 0.05,
    basic_ingest: Annotated[bool, typer.Option("--basic-ingest", help="Devices publish to the rule itself.")] = False,
    template: Annotated[Path, typer.Option(help="The template to plan for.")] = Path("infra/template.yaml"),
    param: Annotated[list[str] | None, typer.Option(help="A template parameter, Name=Value.")] = None,
    prices: Annotated[Path | None, typer.Option(help="A price list in place of the program's own.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Say what a load needs on AWS: shards, concurrency, capacity units, quotas it would hit, and its monthly cost."""
    from headwater.cli.plan import run_plan
    from headwater.plan.load import Load

    load = Load(devices, rate, payload_bytes, subscribers, watched, is_basic_ingest=basic_ingest)
    sys.exit(run_plan(template, _pairs(param or []), load, prices, as_json=as_json))


@application.command()
def token(
    username: Annotated[str, typer.Argument(help="The user the token is for.")] = "demo",
    claim: Annotated[
        list[str] | None, typer.Option(help="A further claim, name=value; e.g. custom:tenantId=demo.")
    ] = None,
    group: Annotated[list[str] | None, typer.Option(help="A group (role) of the user.")] = None,
    pool: Annotated[str, typer.Option(help="The user pool's logical id, where there are several.")] = "",
    hours: Annotated[float, typer.Option(min=0.01, max=24, help="How long the token is valid.")] = 1.0,
    data_dir: InstanceDir = Path(".headwater"),
) -> None:
    """Print a signed user pool token for a running instance."""
    from headwater.cli.token import run_token

    claims = _pairs(claim or [], "--claim")
    sys.exit(run_token(data_dir, username, claims, group or [], pool, hours))


@application.command()
def logs(
    function: Annotated[str, typer.Argument(help="The name or logical id of a function or GraphQL API.")],
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until Ctrl-C.")] = False,
    lines: Annotated[
        int, typer.Option("--lines", "-n", min=0, help="How many of the newest lines to begin with.")
    ] = 100,
    data_dir: InstanceDir = Path(".headwater"),
) -> None:
    """Print what a function or GraphQL API of a running instance has logged."""
    from headwater.cli.logs import run_logs

    sys.exit(run_logs(data_dir, function, is_following=follow, lines=lines))


@iam_application.command("report")
def iam_report(
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    data_dir: InstanceDir = Path(".headwater"),
) -> None:
    """Say what each function used of what its role grants, and what it was denied."""
    from headwater.cli.iam import run_report

    sys.exit(run_report(data_dir, is_json=json))


@data_application.command("reset")
def data_reset(data_dir: DataDir = Path(".headwater")) -> None:
    """Remove everything that is stored; refused while an instance runs."""
    from headwater.cli.data import run_reset

    sys.exit(run_reset(data_dir))


@data_application.command("export")
def data_export(
    file: Annotated[Path, typer.Argument(help="Where to write.")], data_dir: DataDir = Path(".headwater")
) -> None:
    """Write everything that is stored into one file; refused while an instance runs."""
    from headwater.cli.data import run_export

    sys.exit(run_export(data_dir, file))


@data_application.command("import")
def data_import(
    file: Annotated[Path, typer.Argument(help="What `data export` wrote.")], data_dir: DataDir = Path(".headwater")
) -> None:
    """Read an export into an empty data directory; refused while an instance runs."""
    from headwater.cli.data import run_import

    sys.exit(run_import(data_dir, file))


@device_application.command("add")
def device_add(
    name: Annotated[str, typer.Argument(help="The thing's name, which is the device's MQTT client id.")],
    out: Annotated[Path | None, typer.Option(help="The folder for key, certificate and CA; NAME if not given.")] = None,
    policy: Annotated[str, typer.Option(help="The IoT policy to attach; the template's if it has only one.")] = "",
    data_dir: InstanceDir = Path(".headwater"),
) -> None:
    """Register a device with a certificate of its own and print a publish to paste."""
    from headwater.cli.device import run_add

    sys.exit(run_add(data_dir, name, out or Path(name), policy))


@device_application.command("provision")
def device_provision(
    template: Annotated[str, typer.Argument(help="The name of the provisioning template.")],
    count: Annotated[int, typer.Option(min=1, max=100_000, help="How many devices.")] = 1,
    out: Annotated[
        Path | None, typer.Option(help="The folder for keys and certificates; TEMPLATE if not given.")
    ] = None,
    param: Annotated[
        list[str] | None,
        typer.Option(help="A parameter of the template, Name=Value; %d or %04d in it is the device's number."),
    ] = None,
    claim: Annotated[
        Path | None, typer.Option(help="A folder with a claim's device.pem and device.key; made if not given.")
    ] = None,
    data_dir: InstanceDir = Path(".headwater"),
) -> None:
    """Let devices register themselves over MQTT by a provisioning template, each with a key of its own."""
    from headwater.cli.provision import run_provision

    sys.exit(
        run_provision(
            data_dir, template, count=count, out=out or Path(template), patterns=_pairs(param or []), claim=claim
        )
    )


@explain_application.command("subscription")
def explain_subscription(
    event: Annotated[int | None, typer.Option(help="The number of an event; the latest if not given.")] = None,
    mutation: Annotated[str, typer.Option(help="The latest event of this mutation field.")] = "",
    api: Annotated[str, typer.Option(help="The API's logical id, where there are several.")] = "",
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    data_dir: InstanceDir = Path(".headwater"),
) -> None:
    """Say which subscribers match a published event, and for the others which field did not."""
    from headwater.cli.explain_subscription import run_explain_subscription

    sys.exit(run_explain_subscription(data_dir, event=event, mutation=mutation, api=api, is_json=json))


@explain_application.command("rule")
def explain_rule(
    name: Annotated[str, typer.Argument(help="The rule's name or its logical id.")],
    topic: Annotated[str, typer.Option(help="The topic of the publish whose payload is read from standard input.")],
    client_id: Annotated[str | None, typer.Option(help="The client that publishes; none is not over MQTT.")] = None,
    template: Annotated[Path | None, typer.Option(help="Explain by this template, without an instance.")] = None,
    param: Annotated[list[str] | None, typer.Option(help="A template parameter, Name=Value.")] = None,
    data_dir: InstanceDir = Path(".headwater"),
) -> None:
    """Say clause by clause, with values, why a topic rule fires on a publish or does not."""
    from headwater.cli.explain import run_explain_rule

    code = run_explain_rule(
        name,
        topic=topic,
        client_id=client_id,
        payload=sys.stdin.buffer.read(),
        data_dir=data_dir,
        template=template,
        parameters=_pairs(param or []),
    )
    sys.exit(code)
