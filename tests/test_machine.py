"""What this process may use, and what is set before torch loads."""

from __future__ import annotations

from pathlib import Path

import pytest

from demo_app import machine


def test_a_cgroup_limits_memory_and_cpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "memory.max").write_text("123456789\n")
    (tmp_path / "cpu.max").write_text("100000 100000\n")
    monkeypatch.setattr(machine, "CGROUP", tmp_path)
    assert machine.memory() == 123456789
    assert machine.cpus() == 1


def test_an_unlimited_cgroup_limits_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "CGROUP", tmp_path)
    unlimited = machine.memory(), machine.cpus()
    (tmp_path / "memory.max").write_text("max\n")
    (tmp_path / "cpu.max").write_text("max 100000\n")
    assert (machine.memory(), machine.cpus()) == unlimited


def test_threads_wait_passively_and_the_users_choice_stays() -> None:
    environ = {"OMP_NUM_THREADS": "7"}
    machine.prepare_environment(environ=environ)
    assert environ["OMP_NUM_THREADS"] == "7"
    assert environ["OMP_WAIT_POLICY"] == "PASSIVE"
    assert environ["GRADIO_ANALYTICS_ENABLED"] == "False"
