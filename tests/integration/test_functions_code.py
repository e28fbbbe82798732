"""Where a function's code comes from: requirements installed once, changed files taken up while it runs."""

import json
import textwrap
import threading
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.product import Product, StartFailed, eventually, run_cli

TEMPLATE = """\
Transform: AWS::Serverless-2016-10-31
Resources:
  Hello:
    Type: AWS::Serverless::Function
    Properties:
      FunctionName: hello
      Runtime: {runtime}
      Handler: app.handler
      CodeUri: code
"""
Start = Callable[..., Product]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    made: list[Product] = []

    def make(files: dict[str, str], runtime: str = "python3.13") -> Product:
        (tmp_path / "template.yaml").write_text(TEMPLATE.format(runtime=runtime))
        for name, text in files.items():
            (tmp_path / "code" / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "code" / name).write_text(textwrap.dedent(text))
        made.append(Product(tmp_path / "data", template=tmp_path / "template.yaml"))
        return made[-1].start()

    yield make
    for product in made:
        product.kill()


def call(product: Product) -> Any:
    return json.loads(product.boto3("lambda").invoke(FunctionName="hello")["Payload"].read())


def wheel(folder: Path, name: str, text: str) -> Path:
    """A wheel made by hand, so that nothing is fetched."""
    path = folder / f"{name}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{name}.py", text)
        archive.writestr(f"{name}-1.0.dist-info/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        archive.writestr(
            f"{name}-1.0.dist-info/WHEEL",
            "Wheel-Version: 1.0\nGenerator: t\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        )
        archive.writestr(f"{name}-1.0.dist-info/RECORD", "")
    return path


def test_requirements_are_installed_into_the_data_directory(start: Start, tmp_path: Path) -> None:
    path = wheel(tmp_path, "tiny_greeting", "TEXT = 'hello'\n")
    code = "import tiny_greeting\ndef handler(event, context):\n    return tiny_greeting.TEXT\n"

    product = start({"app.py": code, "requirements.txt": f"boto3\n{path}\n"})

    assert call(product) == "hello"
    assert list((tmp_path / "data" / "requirements").glob("*/python/tiny_greeting.py"))


def test_requirements_that_cannot_be_installed_are_named(start: Start, tmp_path: Path) -> None:
    with pytest.raises(StartFailed) as failed:
        start({"app.py": "def handler(e, c): ...", "requirements.txt": f"{tmp_path}/absent-1.0-py3-none-any.whl\n"})

    assert "Hello" in str(failed.value)
    assert "requirements.txt could not be installed" in str(failed.value)


def test_check_installs_nothing(tmp_path: Path) -> None:
    (tmp_path / "template.yaml").write_text(TEMPLATE.format(runtime="python3.13"))
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "app.py").write_text("def handler(event, context): ...")
    (tmp_path / "code" / "requirements.txt").write_text("there-is-no-such-package-on-earth==1\n")

    ended = run_cli("check", str(tmp_path / "template.yaml"))

    assert ended.returncode == 0, ended.stdout + ended.stderr


def test_changed_code_is_taken_up(start: Start, tmp_path: Path) -> None:
    product = start(
        {
            "app.py": "from lib.text import TEXT\ndef handler(event, context):\n    return TEXT\n",
            "lib/text.py": "TEXT = 'old'\n",
        }
    )
    before = call(product)

    (tmp_path / "code" / "lib" / "text.py").write_text("TEXT = 'fresh'\n")

    assert before == "old"
    assert eventually(lambda: call(product) == "fresh")


def test_running_invocation_ends_with_the_code_it_began_with(start: Start, tmp_path: Path) -> None:
    marker = tmp_path / "running"
    slow = (
        "import pathlib, time\n"
        f"def handler(event, context):\n    pathlib.Path({str(marker)!r}).touch()\n"
        "    time.sleep(1.5)\n    return 'old'\n"
    )
    product = start({"app.py": slow})
    answers: list[Any] = []
    running = threading.Thread(target=lambda: answers.append(call(product)))
    running.start()
    assert eventually(marker.exists)

    (tmp_path / "code" / "app.py").write_text("def handler(event, context):\n    return 'new'\n")

    assert eventually(lambda: call(product) == "new")
    running.join()
    assert answers == ["old"]


def test_other_runtimes_are_refused_by_name(start: Start) -> None:
    with pytest.raises(StartFailed) as failed:
        start({"app.py": ""}, runtime="java21")

    assert "Hello.Runtime" in str(failed.value)
    assert "'java21'" in str(failed.value)
