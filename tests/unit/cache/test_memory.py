from __future__ import annotations

import os
import signal
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor

import polars as pl
import pytest

from tiffin.cache.memory import MemoryCache


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def cache(**given: object) -> MemoryCache[object]:
    return MemoryCache(**{"max_bytes": 1000, "max_entries": 10, **given})


def one(value: object) -> int:
    return 1


class Gate:
    """A load that says when it has begun and ends when it may."""

    def __init__(self, result: object = "loaded", error: BaseException | None = None) -> None:
        self.begun, self.may_end = threading.Event(), threading.Event()
        self.result, self.error, self.calls = result, error, 0

    def __call__(self) -> object:
        self.calls += 1
        self.begun.set()
        assert self.may_end.wait(10)
        if self.error:
            raise self.error
        return self.result


def wait_until_waiting(kept: MemoryCache[object], callers: int) -> None:
    while len(kept._waiting) < callers:
        os.sched_yield()


class TestBounds:
    def test_what_was_used_last_stays_when_there_are_too_many(self):
        kept = cache(max_entries=2)
        for key in "ab":
            kept.put((key,), key, 1)
        kept.get(("a",))
        kept.put(("c",), "c", 1)
        assert [kept.get((key,)) for key in "abc"] == ["a", None, "c"]
        assert kept.stats()["evictions"] == 1

    def test_bytes_are_bounded_and_counted(self):
        kept = cache(max_bytes=10)
        for n in range(5):
            kept.put(("t", n), n, 4)
        stats = kept.stats()
        assert (stats["size"], stats["bytes"], stats["evictions"]) == (2, 8, 3)
        kept.put(("t", 4), "replaced", 1)
        assert kept.stats()["bytes"] == 5
        kept.discard(("t", 3))
        assert kept.stats()["bytes"] == 1

    def test_a_value_larger_than_the_cache_is_returned_and_not_kept(self):
        kept = cache(max_bytes=10)
        kept.put(("small",), 1, 10)
        assert kept.get_or_load(("large",), lambda: "large", lambda value: 11) == "large"
        assert kept.get(("large",)) is None
        assert kept.get(("small",)) == 1

    def test_a_new_value_too_large_does_not_leave_the_old_one(self):
        kept = cache(max_bytes=10)
        kept.put(("a",), "old", 1)
        kept.put(("a",), "new", 11)
        assert kept.get(("a",)) is None

    @pytest.mark.parametrize("off", [{"max_bytes": 0}, {"max_entries": 0}])
    def test_a_bound_of_zero_keeps_nothing(self, off):
        kept = cache(**off)
        kept.put(("a",), 1, 0)
        assert kept.get_or_load(("a",), lambda: 2, one) == 2
        assert kept.stats()["size"] == kept.stats()["bytes"] == kept.stats()["evictions"] == 0

    def test_keys_with_the_same_letters_are_different(self):
        kept = cache()
        kept.put(("a", "bc"), 1, 1)
        kept.put(("ab", "c"), 2, 1)
        assert (kept.get(("a", "bc")), kept.get(("ab", "c"))) == (1, 2)


class TestTime:
    def test_an_entry_is_loaded_again_when_its_time_is_up(self):
        clock = Clock()
        kept = cache(ttl_s=60, clock=clock)
        assert kept.get_or_load(("a",), lambda: "first", one) == "first"
        clock.now += 59.9
        assert kept.get_or_load(("a",), lambda: "second", one) == "first"
        clock.now += 0.1
        assert kept.get_or_load(("a",), lambda: "third", one) == "third"
        stats = kept.stats()
        assert (stats["expired"], stats["evictions"], stats["size"], stats["bytes"]) == (1, 0, 1, 1)

    def test_being_read_does_not_make_it_live_longer(self):
        clock = Clock()
        kept = cache(ttl_s=10, clock=clock)
        kept.put(("a",), 1, 1)
        clock.now += 9
        assert kept.get(("a",)) == 1
        clock.now += 1
        assert kept.get(("a",)) is None

    def test_without_a_limit_entries_do_not_expire(self):
        clock = Clock()
        kept = cache(clock=clock)
        kept.put(("a",), 1, 1)
        clock.now += 1e9
        assert kept.get(("a",)) == 1


class TestSingleFlight:
    def test_a_hundred_callers_load_once_and_all_get_the_value(self):
        kept, gate = cache(), Gate()
        with ThreadPoolExecutor(100) as threads:
            answers = [threads.submit(kept.get_or_load, ("a",), gate, one) for _ in range(100)]
            wait_until_waiting(kept, 99)
            gate.may_end.set()
            assert {answer.result(10) for answer in answers} == {"loaded"}
        assert gate.calls == 1
        assert (kept.stats()["misses"], kept.stats()["hits"]) == (1, 99)

    def test_a_failed_load_fails_every_caller_and_keeps_nothing(self):
        kept, gate = cache(), Gate(error=OSError("no"))
        with ThreadPoolExecutor(10) as threads:
            answers = [threads.submit(kept.get_or_load, ("a",), gate, one) for _ in range(10)]
            wait_until_waiting(kept, 9)
            gate.may_end.set()
            assert [str(answer.exception(10)) for answer in answers] == ["no"] * 10
        assert gate.calls == 1
        assert kept.get_or_load(("a",), lambda: "better", one) == "better"

    def test_an_interrupted_load_is_done_by_one_that_waited(self):
        kept, gate = cache(), Gate(error=KeyboardInterrupt())
        with ThreadPoolExecutor(2) as threads:
            first = threads.submit(kept.get_or_load, ("a",), gate, one)
            gate.begun.wait(10)
            second = threads.submit(kept.get_or_load, ("a",), lambda: "again", one)
            wait_until_waiting(kept, 1)
            gate.may_end.set()
            assert isinstance(first.exception(10), KeyboardInterrupt)
            assert second.result(10) == "again"

    def test_other_keys_do_not_wait(self):
        kept, gate = cache(), Gate()
        with ThreadPoolExecutor(1) as threads:
            slow = threads.submit(kept.get_or_load, ("slow",), gate, one)
            gate.begun.wait(10)
            assert kept.get_or_load(("quick",), lambda: "quick", one) == "quick"
            gate.may_end.set()
            assert slow.result(10) == "loaded"

    def test_a_load_may_use_the_cache_even_for_its_own_key(self):
        kept = cache()

        def load() -> str:
            return "outer " + str(kept.get_or_load(("a",), lambda: "inner", one))

        assert kept.get_or_load(("a",), load, one) == "outer inner"
        assert kept.get(("a",)) == "outer inner"

    def test_loads_that_need_each_other_do_not_wait_for_ever(self):
        kept, both_begun = cache(), threading.Barrier(2)

        def load(other: str) -> object:
            both_begun.wait(10)
            return kept.get_or_load((other,), lambda: "broke the circle", one)

        with ThreadPoolExecutor(2) as threads:
            a = threads.submit(kept.get_or_load, ("a",), lambda: load("b"), one)
            b = threads.submit(kept.get_or_load, ("b",), lambda: load("a"), one)
            assert a.result(10) == b.result(10) == "broke the circle"

    @pytest.mark.parametrize("drop", ["discard", "discard_where", "clear"])
    def test_what_is_dropped_while_it_loads_is_not_kept(self, drop):
        kept, gate = cache(), Gate("stale")
        with ThreadPoolExecutor(1) as threads:
            loading = threads.submit(kept.get_or_load, ("a",), gate, one)
            gate.begun.wait(10)
            arguments = {"discard": [("a",)], "discard_where": [lambda key: key == ("a",)], "clear": []}[drop]
            getattr(kept, drop)(*arguments)
            assert kept.get_or_load(("a",), lambda: "fresh", one) == "fresh"
            gate.may_end.set()
            assert loading.result(10) == "stale"
        assert kept.get(("a",)) == "fresh"

    def test_none_is_a_value(self):
        kept, gate = cache(), Gate(None)
        with ThreadPoolExecutor(2) as threads:
            answers = [threads.submit(kept.get_or_load, ("a",), gate, one) for _ in range(2)]
            wait_until_waiting(kept, 1)
            gate.may_end.set()
            assert [answer.result(10) for answer in answers] == [None, None]
        assert gate.calls == 1


class TestSharing:
    def test_a_caller_may_change_its_frame_without_changing_anyone_elses(self):
        kept: MemoryCache[pl.DataFrame] = MemoryCache(max_bytes=1000, max_entries=10, copy=pl.DataFrame.clone)

        def load() -> pl.DataFrame:
            return pl.DataFrame({"x": [1, 2], "y": [3, 4]})

        for _ in range(3):
            frame = kept.get_or_load(("a",), load, pl.DataFrame.estimated_size)
            assert frame.equals(load())
            frame[0, "x"] = 99
            frame.columns = ["p", "q"]
            frame.insert_column(0, pl.Series("z", [0, 0]))
            frame.drop_in_place("q")

    def test_threads_leave_the_books_right(self):
        kept = cache(max_bytes=50, max_entries=20)

        def work(seed: int) -> None:
            for n in range(500):
                key = ("k", (n * 7 + seed) % 40)
                assert kept.get_or_load(key, lambda key=key: key[1], lambda value: value % 9 + 1) == key[1]
                if n % 11 == 0:
                    kept.discard(key)

        with ThreadPoolExecutor(8) as threads:
            list(threads.map(work, range(8)))
        stats = kept.stats()
        assert stats["bytes"] == sum(entry.size_bytes for entry in kept._entries.values()) <= 50
        assert stats["size"] <= 20
        assert stats["hits"] + stats["misses"] == 8 * 500
        assert kept._flights == kept._waiting == {}
        kept.clear()
        assert (kept.stats()["size"], kept.stats()["bytes"]) == (0, 0)

    def test_a_forked_child_can_use_it_though_a_thread_of_the_parent_was_loading(self):
        kept, gate = cache(), Gate()
        with ThreadPoolExecutor(1) as threads:
            loading = threads.submit(kept.get_or_load, ("a",), gate, one)
            gate.begun.wait(10)
            with kept._lock:
                child = _fork_and(lambda: kept.get_or_load(("a",), lambda: "the child's", one) == "the child's")
            gate.may_end.set()
            assert loading.result(10) == "loaded"
        assert child == 0
        assert kept.get(("a",)) == "loaded"


def _fork_and(check: object) -> int:
    """Run a check in a forked child; 0 if it held."""
    with warnings.catch_warnings():
        # Python 3.12 warns of what this test is about: a fork while other threads run.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        signal.alarm(10)
        try:
            os._exit(0 if check() else 1)
        finally:
            os._exit(2)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


class TestStats:
    def test_a_look_that_is_not_counted(self):
        kept = cache()
        assert kept.peek(("a",)) is None
        kept.put(("a",), 1, 1)
        assert kept.peek(("a",)) == 1
        assert (kept.stats()["hits"], kept.stats()["misses"]) == (0, 0)

    def test_they_tell_the_hit_rate(self):
        kept = cache(ttl_s=60)
        assert kept.stats()["hit_rate"] == 0.0
        kept.get(("a",))
        kept.put(("a",), 1, 5)
        for _ in range(3):
            kept.get(("a",))
        assert kept.stats() == {
            "size": 1,
            "max_size": 10,
            "bytes": 5,
            "max_bytes": 1000,
            "ttl_seconds": 60,
            "hits": 3,
            "misses": 1,
            "hit_rate": 0.75,
            "expired": 0,
            "evictions": 0,
        }
