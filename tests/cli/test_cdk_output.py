"""What `cdk synth` writes runs as it is: code and resolvers are found by its list of assets."""

import json
from pathlib import Path
from typing import Any

from tests.support.product import run_cli

HANDLERS = "export const request = () => ({})\nexport const response = () => 'here'\n"
BUCKET = {"Fn::Sub": "cdk-hnb659fds-assets-${AWS::AccountId}-${AWS::Region}"}
API_ID = {"Fn::GetAtt": ["Api", "ApiId"]}
TEMPLATE: dict[str, Any] = {
    "Resources": {
        "Role": {
            "Type": "AWS::IAM::Role",
            "Properties": {
                "AssumeRolePolicyDocument": {
                    "Statement": [
                        {
                            "Effect": "Allow",
                            "Action": "sts:AssumeRole",
                            "Principal": {"Service": "lambda.amazonaws.com"},
                        }
                    ]
                }
            },
        },
        "Handler": {
            "Type": "AWS::Lambda::Function",
            "Properties": {
                "Code": {"S3Bucket": BUCKET, "S3Key": "0f0f.zip"},
                "Handler": "index.handler",
                "Runtime": "python3.12",
                "Role": {"Fn::GetAtt": ["Role", "Arn"]},
            },
            "Metadata": {"aws:asset:path": "asset.0f0f", "aws:asset:property": "Code"},
        },
        "Api": {"Type": "AWS::AppSync::GraphQLApi", "Properties": {"Name": "api", "AuthenticationType": "API_KEY"}},
        "Key": {"Type": "AWS::AppSync::ApiKey", "Properties": {"ApiId": API_ID}},
        "Schema": {
            "Type": "AWS::AppSync::GraphQLSchema",
            "Properties": {"ApiId": API_ID, "Definition": "type Query { where: String }"},
        },
        "Nothing": {
            "Type": "AWS::AppSync::DataSource",
            "Properties": {"ApiId": API_ID, "Name": "none", "Type": "NONE"},
        },
        "Resolver": {
            "Type": "AWS::AppSync::Resolver",
            "Properties": {
                "ApiId": API_ID,
                "TypeName": "Query",
                "FieldName": "where",
                "DataSourceName": "none",
                "Runtime": {"Name": "APPSYNC_JS", "RuntimeVersion": "1.0.0"},
                "CodeS3Location": {"Fn::Sub": f"s3://{BUCKET['Fn::Sub']}/aaaa.js"},
            },
        },
        "CDKMetadata": {"Type": "AWS::CDK::Metadata", "Properties": {"Analytics": "v2"}},
    },
    "Parameters": {
        "BootstrapVersion": {
            "Type": "AWS::SSM::Parameter::Value<String>",
            "Default": "/cdk-bootstrap/hnb659fds/version",
        }
    },
    "Rules": {
        "CheckBootstrapVersion": {
            "Assertions": [
                {"Assert": {"Fn::Not": [{"Fn::Contains": [["1", "2"], {"Ref": "BootstrapVersion"}]}]}},
            ]
        }
    },
    "Outputs": {"Url": {"Value": {"Fn::GetAtt": ["Api", "GraphQLUrl"]}}},
}


def asset(path: str, key: str) -> dict[str, Any]:
    return {
        "source": {"path": path, "packaging": "file"},
        "destinations": {"current": {"bucketName": "cdk-assets", "objectKey": key}},
    }


def write(folder: Path, files: dict[str, Any]) -> Path:
    (folder / "asset.0f0f").mkdir()
    (folder / "asset.0f0f" / "index.py").write_text("def handler(event, context):\n    return 1\n")
    (folder / "asset.aaaa.js").write_text(HANDLERS)
    (folder / "Stack.assets.json").write_text(json.dumps({"version": "36.0.0", "files": files}))
    (folder / "Stack.template.json").write_text(json.dumps(TEMPLATE))
    return folder / "Stack.template.json"


def test_assets_are_found_beside_the_template(tmp_path: Path) -> None:
    files = {"0f0f": asset("asset.0f0f", "0f0f.zip"), "aaaa": asset("asset.aaaa.js", "aaaa.js")}

    done = run_cli("check", str(write(tmp_path, files)))

    assert done.returncode == 0, done.stdout
    assert "fault" not in done.stdout


def test_an_asset_that_is_not_listed_is_named(tmp_path: Path) -> None:
    done = run_cli("check", str(write(tmp_path, {"0f0f": asset("asset.0f0f", "0f0f.zip")})))

    assert done.returncode == 2
    assert "Resolver" in done.stdout
    assert "/aaaa.js lies in S3; give a path beside the template" in done.stdout


def test_a_list_of_assets_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    template = write(tmp_path, {})
    (tmp_path / "Stack.assets.json").write_text('{"files": [1]}')

    done = run_cli("check", str(template))

    assert done.returncode == 2
    assert f"cannot read CDK's list of assets {tmp_path}/Stack.assets.json" in done.stderr
