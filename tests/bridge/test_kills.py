"""kill -9 at random moments under load: every accepted job comes to exactly one end."""

import sys
from pathlib import Path

import pytest

from tests.bridge.fakes_kills import QueueLife, is_alive, killed_often
from tests.bridge.waiting import until


@pytest.mark.skipif(sys.platform == "win32", reason="kills processes by signals")
def test_a_queue_killed_at_ten_random_moments_loses_nothing_and_does_nothing_twice(tmp_path: Path) -> None:
    lives: list[QueueLife] = []

    def start() -> QueueLife:
        lives.append(QueueLife(tmp_path))
        return lives[-1]

    report = killed_often(start, tmp_path, 10)
    assert report.jobs > 10 * 12 and report.states["finished"] > report.jobs / 2, report
    assert report.ran_at_a_kill >= 3, report  # else it was killed in its sleep
    assert report.states["failed"] and report.told >= report.states["finished"] / 2, report
    workers = [process for life in lives for process in life.workers]
    assert len(workers) >= 10
    until(lambda: not any(is_alive(process) for process in workers))
