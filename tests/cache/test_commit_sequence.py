"""When caches may answer and when what was found may be stored."""

from __future__ import annotations

from pykyro.cache.commit_sequence import CommitSequence


def test_no_cache_answers_while_a_commit_is_applied() -> None:
    commits = CommitSequence()
    assert commits.number_if_idle() == 0
    commits.begin()
    assert commits.number_if_idle() is None
    commits.end()
    assert commits.number_if_idle() == 2


def test_a_commit_that_failed_half_way_keeps_the_caches_silent() -> None:
    commits = CommitSequence()
    commits.begin()
    commits.begin()
    assert commits.number_if_idle() is None
