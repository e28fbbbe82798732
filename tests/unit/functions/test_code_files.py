"""What identifies the state of a folder's code."""

from base64 import b64decode
from pathlib import Path

from headwater.functions.code_files import code_state


def written(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def test_equal_code_in_two_folders_has_one_digest(tmp_path: Path) -> None:
    files = {"app.py": "a = 1\n", "lib/words.mjs": "export {}\n"}

    one = code_state(written(tmp_path / "one", files))
    other = code_state(written(tmp_path / "other", dict(reversed(files.items()))))

    assert one == other
    assert len(b64decode(one.sha256)) == 32
    assert one.size_bytes == 16


def test_content_and_names_change_the_digest(tmp_path: Path) -> None:
    states = [
        code_state(written(tmp_path / str(number), files))
        for number, files in enumerate(
            (
                {"app.py": "a = 1"},
                {"app.py": "a = 2"},
                {"b.py": "a = 1"},
                {"a/pp.py": "a = 1"},
                {"app.py": "a", "b.py": " = 1"},
            )
        )
    ]

    assert len({state.sha256 for state in states}) == 5


def test_what_is_no_code_leaves_the_digest_alone(tmp_path: Path) -> None:
    root = written(tmp_path, {"app.py": "a = 1"})
    before = code_state(root)

    written(root, {"node_modules/x.js": "1", ".venv/y.py": "2", "__pycache__/z.py": "3", "readme.md": "4"})
    (root / "gone.py").symlink_to(root / "nowhere.py")

    assert code_state(root) == before
