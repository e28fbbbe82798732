"""Data directories of older formats."""

from pathlib import Path

import pytest

from headwater.storage.data_directory import DataDirectoryError, migrate


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "data.mdb").write_text("1")
    (tmp_path / "format").write_text("1\n")
    return tmp_path


def data(directory: Path, name: str = "store") -> str:
    return (directory / name / "data.mdb").read_text()


def append(text: str, directory: Path) -> None:
    (directory / "store" / "data.mdb").write_text(data(directory) + text)


def test_every_step_runs_in_order_and_the_old_store_is_kept(directory: Path) -> None:
    migrate(directory, 1, 3, {2: lambda path: append(">3", path), 1: lambda path: append(">2", path)})

    assert data(directory) == "1>2>3"
    assert data(directory, "backup-format-1") == "1"
    assert (directory / "format").read_text() == "3\n"


def test_an_interrupted_step_starts_from_the_backup_again(directory: Path) -> None:
    def interrupted(path: Path) -> None:
        append("half", path)
        raise OSError("no space left")

    with pytest.raises(DataDirectoryError, match="no space left"):
        migrate(directory, 1, 2, {1: interrupted})
    assert (directory / "format").read_text() == "1\n"

    migrate(directory, 1, 2, {1: lambda path: append(">2", path)})

    assert data(directory) == "1>2"
    assert (directory / "format").read_text() == "2\n"


def test_a_format_without_a_way_is_refused_before_anything_is_touched(directory: Path) -> None:
    with pytest.raises(DataDirectoryError, match="no step from 2"):
        migrate(directory, 1, 3, {1: lambda path: append(">2", path)})

    assert data(directory) == "1"
    assert not (directory / "backup-format-1").exists()
