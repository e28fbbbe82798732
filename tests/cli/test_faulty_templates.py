"""Templates that are wrong: every fault is one readable line, the exit code is 2, and nothing is touched."""

from pathlib import Path

import pytest

from headwater.cli.up import run_up
from headwater.deploy.options import UpOptions
from tests.support.product import run_cli

TEMPLATES = Path(__file__).parent / "templates"
# What the lines for the faults of faulty.yaml begin with.
FAULTS = (
    "CircA (line 108): circular dependency: CircA -> CircB -> CircA",
    "DepA (line 110): circular dependency: DepA -> DepB -> DepA",
    "Vtl.RequestMappingTemplate (line 43): AWS::AppSync::Resolver: VTL does not run here",
    "Unknown (line 52): AWS::Redshift::Cluster: this resource type does not run here",
    "BadProperty.VisibilityTimout (line 54): AWS::SQS::Queue: not a property",
    "BadRule3.TopicRulePayload.Actions.Elasticsearch (line 92): AWS::IoT::TopicRule: not a property",
    "BadRef (line 99): Ref 'Nobody' names neither a parameter nor a resource",
    "Env (line 105): Ref 'Missing' names neither a parameter nor a resource",
    "BadTable (line 77): ValidationException: ",
    "Wrong (line 102): InvalidAttributeValue: ",
    f"NoFolder.CodeUri (line 57): there is no folder or zip file {TEMPLATES}/nowhere",
    f"NoFile.Handler (line 60): 'absent.handler': there is no {TEMPLATES}/code/absent.py",
    "Schema (line 8): schema line 1: Unknown type 'Strin'. Did you mean 'String'?",
    "Schema (line 8): schema line 1: Unknown type 'Whatever'.",
    "UnknownField.FieldName (line 25): the schema has no field Query.nope",
    "BadJs (line 34): BadJs:2:2: for(;;) is not supported",
    "BadJs (line 34): BadJs:4:33: try, catch and finally are not supported",
    "BadRule (line 80): SQL position 0: expected SELECT, found 'SELEC'",
    "BadRule2 (line 86): frob() is no function of AWS IoT SQL",
    'GoodS (line 63): Invalid filter pattern definition. data.a: unrecognized numeric range operator: "<>"',
)
# Resources of faulty.yaml that need one at fault, or none: nothing is said about them.
SOUND = ("Api ", "Bad2 ", "Good ", "Stream", "Role", "NoFileS")


def test_up_tells_every_fault_at_once_and_makes_nothing(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"

    done = run_cli("up", "--template", str(TEMPLATES / "faulty.yaml"), "--data-dir", str(data_dir))

    assert done.returncode == 2
    lines = done.stderr.splitlines()
    for fault in FAULTS:
        assert any(line.startswith(f"headwater: {fault}") for line in lines), f"{fault}\n{done.stderr}"
    for name in SOUND:
        assert not any(line.startswith(f"headwater: {name}") for line in lines), done.stderr
    assert len(lines) == len(set(lines))
    assert not data_dir.exists()


def test_check_tells_the_same_faults() -> None:
    done = run_cli("check", str(TEMPLATES / "faulty.yaml"))

    assert done.returncode == 2
    for fault in FAULTS:
        assert fault in done.stdout
    assert done.stderr == ""


def test_check_of_the_projects_template_refuses_nothing() -> None:
    done = run_cli("check", "infra/template.yaml")

    assert done.returncode == 0, done.stdout
    assert done.stdout.splitlines()[-1].endswith(" 0 refused resources")


FUNCTION = """
Resources:
  F:
    Type: AWS::Lambda::Function
    Properties: {Handler: index.handler, Runtime: python3.12, Role: r, Code: {ZipFile: 'x = 1'}%s}
"""
WHOLE_FILE = {
    "bad YAML": ("Resources: [\n", "line 2: not valid YAML"),
    "a list": ("- a\n", "a template is a mapping with a Resources section, found list"),
    "nothing": ("", "a template is a mapping with a Resources section, found NoneType"),
    "no resources": ("Resources: {}\n", "the template has no Resources section, or an empty one"),
    "no type": ("Resources: {A: {}}\n", "A: a resource is a mapping with a Type"),
    "properties of a wrong type": ("Resources: {A: {Type: T, Properties: 3}}\n", "A: Properties must be a mapping"),
    "a key twice": ("Resources:\n  A: {Type: T}\n  A: {Type: T}\n", "line 3: the key 'A' is given twice"),
    "an unknown tag": ("Resources: {A: {Type: T, Properties: {B: !Frob c}}}\n", "line 1: unknown tag !Frob"),
    "another transform": ("Transform: Mine\nResources: {A: {Type: T}}\n", "the transform 'Mine' does not run here"),
    "a parameter without a value": (
        "Parameters: {P: {Type: String}}\nResources: {A: {Type: AWS::SQS::Queue}}\n",
        "Parameters.P: no value: give one with --param P=…",
    ),
    "a condition that is not there": (
        "Resources: {A: {Type: AWS::SQS::Queue, Condition: Nope}}\n",
        "the condition 'Nope' is not defined",
    ),
    "a function without a handler's dot": (
        FUNCTION.replace("index.handler", "handler") % "",
        "F.Handler (line 3): 'handler' is not module.function",
    ),
    "an environment that is no mapping": (FUNCTION % ", Environment: 3", "F.Environment (line 3): "),
    "an environment variable that is a list": (
        FUNCTION % ", Environment: {Variables: {A: [1]}}",
        "F.Environment (line 3): an environment variable is text, found [1]",
    ),
    "a broken schema of no API": (
        "Resources: {S: {Type: AWS::AppSync::GraphQLSchema, Properties: {ApiId: x, Definition: 'type {'}}}\n",
        "S.ApiId (line 1): 'x' is no API of this template, so it would not be used",
    ),
    "a user pool's schema that is text": (
        "Resources: {U: {Type: AWS::Cognito::UserPool, Properties: {Schema: x}}}\n",
        "U.Schema (line 1): AWS::Cognito::UserPool: found 'x' where a mapping is expected",
    ),
    "a table's name that is too short": (
        "Resources: {T: {Type: AWS::DynamoDB::Table, Properties: {TableName: t, BillingMode: PAY_PER_REQUEST, "
        "AttributeDefinitions: [{AttributeName: id, AttributeType: S}], "
        "KeySchema: [{AttributeName: id, KeyType: HASH}]}}}\n",
        "T (line 1): ",
    ),
    "a value that JSON has not": (
        "Resources: {A: {Type: AWS::SQS::Queue, Properties: {QueueName: !!binary 'aGk='}}}\n",
        "line 1: the YAML tag tag:yaml.org,2002:binary has no value that JSON has",
    ),
    "a set": (
        "Resources: {A: {Type: AWS::SQS::Queue, Properties: {Tags: !!set {a, b}}}}\n",
        "line 1: the YAML tag tag:yaml.org,2002:set has no value that JSON has",
    ),
    "a schema that is a device": (
        "Resources: {A: {Type: AWS::AppSync::GraphQLApi, Properties: {Name: a, AuthenticationType: API_KEY}}, "
        "S: {Type: AWS::AppSync::GraphQLSchema, "
        "Properties: {ApiId: !GetAtt A.ApiId, DefinitionS3Location: /dev/zero}}}\n",
        "S.DefinitionS3Location (line 1): /dev/zero is no file",
    ),
    "a timeout that is no number": (FUNCTION % ", Timeout: soon", "F (line 3): "),
}


@pytest.mark.parametrize("name", WHOLE_FILE)
def test_a_fault_is_one_line(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text, expected = WHOLE_FILE[name]
    template = tmp_path / "template.yaml"
    template.write_text(text)

    exit_code = run_up(UpOptions(template=template, data_dir=tmp_path / "data"))

    said = capsys.readouterr().err
    assert exit_code == 2, said
    assert [line.startswith(f"headwater: {expected}") for line in said.splitlines()] == [True], said
    assert not (tmp_path / "data").exists()


API = """
Resources:
  Api: {Type: AWS::AppSync::GraphQLApi, Properties: {Name: a, AuthenticationType: %s}}
  Schema:
    Type: AWS::AppSync::GraphQLSchema
    Properties: {ApiId: !GetAtt Api.ApiId, Definition: "type Query { a: ID } type Mutation { b(c: ID!): ID }"}
  Rule:
    Type: AWS::Events::Rule
    Properties:
      EventPattern: {source: [x]}
      Targets:
        - {Id: a, Arn: !GetAtt Api.GraphQLEndpointArn, RoleArn: r, AppSyncParameters: {GraphQLOperation: "%s"}}
"""


@pytest.mark.parametrize(
    ("mode", "operation", "expected"),
    [
        (
            "AWS_IAM",
            "mutation { x }",
            "AppSyncParameters.GraphQLOperation: Validation error of type FieldUndefined: Field 'x'",
        ),
        ("AWS_IAM", "mutation {", "AppSyncParameters.GraphQLOperation: Unable to parse GraphQL query."),
        ("AWS_IAM", "", "Target a needs RoleArn and AppSyncParameters.GraphQLOperation."),
        ("API_KEY", "mutation { b(c: 1) }", "does not have AWS_IAM among its authorization modes"),
        ("AWS_IAM", "mutation { b(c: 1) }", ""),
    ],
)
def test_operation_of_a_rule_is_checked(mode: str, operation: str, expected: str, tmp_path: Path) -> None:
    template = tmp_path / "template.yaml"
    template.write_text(API % (mode, operation))

    done = run_cli("check", str(template))

    assert done.returncode == (2 if expected else 0), done.stdout
    assert expected in done.stdout


def test_typescript_names_the_build_it_needs(tmp_path: Path) -> None:
    template = tmp_path / "template.yaml"
    function = (
        "{Type: AWS::Serverless::Function, Properties: {Handler: app.handler, Runtime: nodejs22.x, CodeUri: src}}"
    )
    template.write_text(f"Transform: AWS::Serverless-2016-10-31\nResources: {{F: {function}}}\n")
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "app.ts").write_text("export const handler = async () => 1;\n")

    done = run_cli("check", str(template))

    assert done.returncode == 2
    assert "app.ts has to be built: run `sam build` and give .aws-sam/build/template.yaml" in done.stdout
    assert done.stdout.splitlines()[-1].startswith("1 fault: ")


@pytest.mark.parametrize(
    ("path", "reason"),
    [("absent.yaml", "No such file or directory"), (".", "Is a directory"), ("binary", "not UTF-8 text")],
)
def test_an_unreadable_template_is_one_line(
    path: str, reason: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")

    exit_code = run_up(UpOptions(template=tmp_path / path, data_dir=tmp_path / "data"))

    assert exit_code == 2
    assert capsys.readouterr().err == f"headwater: cannot read the template {tmp_path / path}: {reason}\n"


def test_a_template_without_end_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    exit_code = run_up(UpOptions(template=Path("/dev/zero"), data_dir=tmp_path / "data"))

    assert exit_code == 2
    assert capsys.readouterr().err == "headwater: the template has more than 1000000 bytes\n"


HTTP_API = """
Resources:
  Api: {Type: AWS::AppSync::GraphQLApi, Properties: {Name: a, AuthenticationType: API_KEY}}
  Schema:
    {Type: AWS::AppSync::GraphQLSchema, Properties: {ApiId: !GetAtt Api.ApiId, Definition: 'type Query { a: Int }'}}
  Away:
    Type: AWS::AppSync::DataSource
    Properties:
      {ApiId: !GetAtt Api.ApiId, Name: away, Type: HTTP, HttpConfig: {Endpoint: 'https://weather.example'}}
"""


def test_check_judges_a_template_with_the_hosts_that_a_start_would_be_given(tmp_path: Path) -> None:
    template = tmp_path / "template.yaml"
    template.write_text(HTTP_API)

    without, beside = (
        run_cli("check", str(template)),
        run_cli("check", str(template), "--allow-host", "Weather.example"),
    )

    assert without.returncode == 2
    assert "--allow-host weather.example" in without.stdout
    assert beside.returncode == 0, beside.stdout


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("code", ""),
        ("./absent", "Fn.Code (line 3): there is no folder or zip file "),
        ("s3://bucket/key.zip", "s3://bucket/key.zip lies in S3; give a path beside the template"),
        ("[code]", "Fn.Code (line 3): expected {ZipFile: …} or a path beside the template, found ['code']"),
        ("3", "Fn.Code (line 3): expected {ZipFile: …} or a path beside the template, found 3"),
    ],
)
def test_the_code_of_a_plain_function_may_be_a_path(code: str, says: str, tmp_path: Path) -> None:
    template = tmp_path / "template.yaml"
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "app.py").write_text("def handler(event, context): ...\n")
    template.write_text(
        "Resources:\n"
        "  Role: {Type: AWS::IAM::Role, Properties: {AssumeRolePolicyDocument: {Statement: []}}}\n"
        "  Fn:\n    Type: AWS::Lambda::Function\n    Properties:\n      Runtime: python3.13\n"
        f"      Role: !GetAtt Role.Arn\n      Code: {code}\n      Handler: app.handler\n"
    )

    done = run_cli("check", str(template))

    assert done.returncode == (2 if says else 0), done.stdout
    assert says in done.stdout


def test_a_queue_may_stand_before_the_one_its_dead_letters_go_to(tmp_path: Path) -> None:
    redrive = "{RedrivePolicy: {deadLetterTargetArn: !GetAtt %s.Arn, maxReceiveCount: 3}}"
    template = tmp_path / "template.yaml"
    template.write_text(
        "Resources:\n"
        f"  First: {{Type: AWS::SQS::Queue, Properties: {redrive % 'Second'}}}\n"
        f"  Second: {{Type: AWS::SQS::Queue, Properties: {redrive % 'Third'}}}\n"
        "  Third: {Type: AWS::SQS::Queue}\n"
    )

    done = run_cli("check", str(template))

    assert done.returncode == 0, done.stdout
