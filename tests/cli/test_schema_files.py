"""A schema or a resolver in a file of its own: faults and warnings name the file and the line, for editors to open."""

from pathlib import Path

from tests.support.product import run_cli

TEMPLATE = """
Resources:
  Api:
    Type: AWS::AppSync::GraphQLApi
    Properties: {Name: mine, AuthenticationType: API_KEY}
  Key:
    Type: AWS::AppSync::ApiKey
    Properties: {ApiId: !GetAtt Api.ApiId}
  Schema:
    Type: AWS::AppSync::GraphQLSchema
    Properties: {ApiId: !GetAtt Api.ApiId, DefinitionS3Location: api/schema.graphql}
  Nothing:
    Type: AWS::AppSync::DataSource
    Properties: {ApiId: !GetAtt Api.ApiId, Name: nothing, Type: NONE}
  GetA:
    Type: AWS::AppSync::Resolver
    Properties:
      ApiId: !GetAtt Api.ApiId
      TypeName: Query
      FieldName: a
      DataSourceName: !GetAtt Nothing.Name
      Runtime: {Name: APPSYNC_JS, RuntimeVersion: 1.0.0}
      CodeS3Location: api/a.js
"""
HANDLERS = "export const request = () => ({})\nexport const response = () => 1\n"


def write(folder: Path, *, schema: str, code: str) -> Path:
    (folder / "api").mkdir()
    (folder / "api" / "schema.graphql").write_text(schema)
    (folder / "api" / "a.js").write_text(code)
    (folder / "template.yaml").write_text(TEMPLATE)
    return folder / "template.yaml"


def test_faults_are_placed_in_their_files(tmp_path: Path) -> None:
    template = write(tmp_path, schema="type Query {\n  a: Strin\n}", code=HANDLERS + "while (true) {}\n")

    done = run_cli("check", str(template))

    assert done.returncode == 2
    assert f"{tmp_path}/api/schema.graphql:2: Unknown type 'Strin'." in done.stdout
    assert f"{tmp_path}/api/a.js:3:1: while is not supported" in done.stdout


def test_an_amplify_source_is_refused_with_where_the_built_one_is(tmp_path: Path) -> None:
    template = write(tmp_path, schema="type Todo @model {\n  id: ID!\n}", code=HANDLERS)

    done = run_cli("up", "--template", str(template), "--data-dir", str(tmp_path / "data"))

    assert done.returncode == 2
    fault = next(line for line in done.stderr.splitlines() if "@model" in line)
    assert fault.startswith(f"headwater: Schema (line 9): {tmp_path}/api/schema.graphql:1: Unknown directive '@model'")
    assert "amplify/backend/api/<name>/build/schema.graphql" in fault


def test_what_has_no_effect_in_a_schema_is_a_warning(tmp_path: Path) -> None:
    template = write(tmp_path, schema="type Query {\n  a: Int @aws_apikey\n}", code=HANDLERS)

    done = run_cli("check", str(template))

    assert done.returncode == 0
    assert (
        f"warning: Schema: {tmp_path}/api/schema.graphql:2: @aws_apikey is none of AppSync's directives" in done.stdout
    )
