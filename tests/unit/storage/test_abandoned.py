"""Temporary stores of killed processes do not fill the shared memory."""

import os
from pathlib import Path

import pytest

from headwater.storage.data_directory import DataDirectory


def aged(path: Path) -> Path:
    os.utime(path, (0, 0))
    return path


def test_an_old_temporary_directory_without_an_owner_is_removed_and_one_with_an_owner_stays() -> None:
    owned = DataDirectory.acquire(None)
    killed = DataDirectory.acquire(None)
    os.close(killed.lock_descriptor)
    aged(owned.path)
    aged(killed.path)

    third = DataDirectory.acquire(None)

    assert owned.path.exists()
    assert not killed.path.exists()
    third.release()
    owned.release()


def test_a_directory_without_a_lock_file_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    foreign = tmp_path / "headwater-somebody-elses"
    foreign.mkdir()
    aged(foreign)

    DataDirectory.acquire(None).release()

    assert foreign.exists()
