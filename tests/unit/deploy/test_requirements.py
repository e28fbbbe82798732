"""Which requirements are there already, so that nothing is installed."""

from pathlib import Path

import pytest

from headwater.deploy.functions.requirements import installed_requirements
from headwater.errors import TemplateError


@pytest.mark.parametrize(
    "text",
    [
        "",
        "# nothing\n",
        "boto3\n",
        "boto3>=1.20\nbotocore\n",
        "boto3 # the SDK\n",
        'absent-thing; python_version < "3"\n',
    ],
)
async def test_what_the_interpreter_has_is_not_installed(tmp_path: Path, text: str) -> None:
    (tmp_path / "requirements.txt").write_text(text)

    assert await installed_requirements(tmp_path, tmp_path / "into") == ()


async def test_what_lies_beside_the_handler_is_not_installed(tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_text("My.Package==4.0\n")
    (tmp_path / "my_package-4.0.dist-info").mkdir()
    (tmp_path / "my_package-4.0.dist-info" / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: my-package\nVersion: 4.0\n"
    )

    assert await installed_requirements(tmp_path, tmp_path / "into") == ()


async def test_code_without_the_file_needs_nothing(tmp_path: Path) -> None:
    assert await installed_requirements(tmp_path, tmp_path / "into") == ()


@pytest.mark.parametrize("text", ["boto3==0.0.1\n", "./absent-1.0-py3-none-any.whl\n", "-r more.txt\n"])
async def test_what_cannot_be_installed_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "requirements.txt").write_text(f"--no-index\n{text}")

    with pytest.raises(TemplateError, match=r"requirements\.txt could not be installed"):
        await installed_requirements(tmp_path, tmp_path / "into")


async def test_looking_at_a_template_installs_nothing(tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_text("boto3==0.0.1\n")

    assert await installed_requirements(tmp_path, None) == ()
