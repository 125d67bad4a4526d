"""What a soak is judged by: growth and slowing are found, noise and busy neighbours are not taken for them."""

import random
from xml.etree import ElementTree as ET

import pytest
from benchmarks import plots
from benchmarks.load import Rise, Step
from benchmarks.reasons import Reason
from benchmarks.run import Machine
from benchmarks.soak import page, rows
from benchmarks.soak.judging import judge
from benchmarks.soak.measured import Probe, Process, Sample, Soak, Taken, Window
from benchmarks.soak.shared import WrongAnswerError
from benchmarks.soak.verdict import Point, counted, grown, slope, slowed, tenth
from msgspec.structs import replace

HOUR = 3600.0
MACHINE = Machine(cores=2, memory_gb=24.9, system="Linux x86_64", python="3.11.7", libraries={})


def series(value, *, noise=0.0, seed=0):
    """Figures of an hour, every 30 s; `value` is a function of the share of it that has passed."""
    chance = random.Random(seed)
    moments = [30.0 * number for number in range(1, 121)]
    return [Point(at, value(at / HOUR) * (1 + chance.uniform(-noise, noise))) for at in moments]


def busy(share):
    """A neighbour that comes half-way and slows everything."""
    return 1.0 if share < 0.5 else 1.6


STEADY = series(lambda _: 4.0, noise=0.05, seed=1)


def test_tenths_are_where_they_should_be():
    points = [Point(float(at), at) for at in range(1, 101)]
    assert tenth(points, 100, 1) == [*range(11, 21)]
    assert tenth(points, 100, 9) == [*range(91, 101)]
    # What comes a moment after the end belongs to the last.
    assert tenth([*points, Point(100.5, 0)], 100, 9)[-1] == 0


def test_the_line_is_that_of_least_squares():
    assert slope([Point(0, 1), Point(1, 3), Point(2, 5)]) == pytest.approx(2)
    assert slope([Point(0, 1), Point(1, 3), Point(2, 2)]) == pytest.approx(0.5)
    assert slope([Point(3, 7)]) == 0


def grows(value, *, noise=0.0):
    return not grown("memory", "worker", series(value, noise=noise), HOUR, share=0.05, least=50).holds


@pytest.mark.parametrize("seed", range(5))
def test_a_slow_leak_is_found_in_noise_and_noise_alone_is_none(seed):
    leak = series(lambda share: 400 + 90 * share, noise=0.05, seed=seed)
    still = series(lambda _: 400, noise=0.05, seed=seed)
    assert not grown("memory", "worker", leak, HOUR, share=0.05, least=50).holds
    assert grown("memory", "worker", still, HOUR, share=0.05, least=50).holds


def test_warming_up_is_no_growth_nor_is_a_saw():
    assert not grows(lambda share: 400 if share > 0.1 else 100)
    assert not grows(lambda share: 300 + 60 * ((share * 37) % 1))
    assert grows(lambda share: 300 + 200 * share + 60 * ((share * 37) % 1))


def test_of_a_large_process_a_share_may_come_of_a_small_one_so_many_mb():
    assert not grows(lambda share: 2000 + 90 * share)
    assert not grows(lambda share: 100 + 50 * share)
    assert grows(lambda share: 100 + 60 * share)


def test_one_file_that_is_never_closed_is_found_and_files_that_come_and_go_are_not():
    assert not counted("open files", "worker", series(lambda share: 40 if share < 0.5 else 41), HOUR).holds
    chance = random.Random(0)
    assert counted("open files", "worker", series(lambda _: 40 + chance.randrange(3)), HOUR).holds
    leak = series(lambda share: 40 + int(10 * share) + chance.randrange(3))
    assert not counted("open files", "worker", leak, HOUR).holds


@pytest.mark.parametrize("seed", range(5))
def test_slowing_is_found_and_noise_is_not(seed):
    slow = series(lambda share: 10 * (1 + 0.25 * share), noise=0.1, seed=seed)
    still = series(lambda _: 10, noise=0.3, seed=seed)
    assert not slowed("latency", "read", slow, STEADY, HOUR).holds
    assert slowed("latency", "read", still, STEADY, HOUR).holds


def test_what_chance_alone_explains_is_no_slowing():
    judged = []
    for seed in range(20):
        chance = random.Random(seed)
        wild = series(lambda _, chance=chance: 5 + 5 * chance.random() ** 3)
        judged.append(slowed("latency", "save", wild, series(lambda _: 4.0), HOUR))
    assert any(one.after > 1.1 * one.before for one in judged)
    assert all(one.holds for one in judged)


def test_a_busy_neighbour_is_not_taken_for_slowing_and_hides_none():
    reference = series(lambda share: 4 * busy(share), noise=0.05, seed=2)
    victim = series(lambda share: 10 * busy(share), noise=0.05, seed=3)
    slower = series(lambda share: 10 * busy(share) * (1 + 0.5 * share), noise=0.05, seed=3)
    assert slowed("latency", "read", victim, reference, HOUR).holds
    assert not slowed("latency", "read", victim, STEADY, HOUR).holds
    assert not slowed("latency", "read", slower, reference, HOUR).holds


def test_what_was_not_timed_in_both_tenths_is_not_judged():
    assert slowed("latency", "read", [point for point in STEADY if point.at_s < 1000], STEADY, HOUR) is None


def test_both_changes_are_told():
    told = slowed("latency", "read", series(lambda share: 10 * busy(share)), series(lambda _: 4.0), HOUR).told
    assert told == "+60.0% raw, +60.0% beside the reference"


class Counted:
    def check(self, *, is_right, kind, said):
        if not is_right:
            raise WrongAnswerError(kind, said)


def found(*frames):
    return {name: [value for frame in frames for value in frame[name].to_list()] for name in ("id", "save", "again")}


def test_an_answer_of_one_save_is_right_and_stale_torn_and_short_ones_are_told_apart():
    old, new = rows.frame(range(4), 6), rows.frame(range(4), 7)
    assert rows.check(Counted(), found(new), 4, 7) == 7
    for answer, kind in (
        (found(old), "stale"),
        (found(old[:2], new[2:]), "torn"),
        (found(new[:3]), "incomplete"),
        ({**found(new), "again": [1, 2, 3, 4]}, "torn"),
        ({**found(new), "save": [None] * 4}, "torn"),
    ):
        with pytest.raises(WrongAnswerError) as wrong:
            rows.check(Counted(), answer, 4, 7)
        assert wrong.value.kind == kind


def test_where_each_entity_has_a_save_of_its_own_each_is_checked():
    mixed = found(rows.frame([0, 1], 6), rows.frame([2], 9))
    assert rows.check(Counted(), mixed, 3, {0: 6, 1: 5, 2: 9}) == 9
    with pytest.raises(WrongAnswerError) as wrong:
        rows.check(Counted(), mixed, 3, {0: 7, 1: 5, 2: 9})
    assert wrong.value.kind == "stale"


def soak(**changes):
    samples = [
        Sample(
            at, is_at_rest,
            {"worker 1": Process(
                300, changes.get("uss", lambda _: 200)(at / HOUR), 40,
                changes.get("threads", lambda _: 20)(at / HOUR), changes.get("pool", lambda _: 20)(at / HOUR), at / 4,
            )},
            {"features": 30.0, "logs": changes.get("logs", lambda _: 1.0)(at / HOUR)},
            {"live/whole": 30}, 60, 4.0, 4.0, 0.2,
        )
        for at in [30.0 * number for number in range(1, 121)] for is_at_rest in (False, True)
    ]  # fmt: skip
    at = [sample.at_s for sample in samples if sample.is_at_rest]
    ms = changes.get("ms", lambda _: 1.0)
    windows = [Window(one, {"online, 1": Taken(100, 0, ms(one / HOUR), 2.0, 3.0)}) for one in at]
    probes = [Probe(one, {"online, 1": ms(one / HOUR)}, {"online, 1": 0.1}, 4.0, 4.0, 0.2) for one in at]
    return Soak(
        "2026-01-02T03:04:05+00:00", changes.get("seconds", HOUR), 0.5, 1.5, 1.0, 2, MACHINE, samples, windows, probes,
        changes.get("wrong", {"stale": 0}), 1_000, [],
    )  # fmt: skip


def broken(measured):
    return {(one.what, one.of) for one in judge(measured) if not one.holds}


def test_a_run_in_which_nothing_grows_holds_and_each_fault_is_found():
    assert broken(soak()) == set()
    assert broken(soak(uss=lambda share: 200 + 100 * share)) == {("memory", "worker 1")}
    assert broken(soak(wrong={"stale": 1})) == {("answers", "stale")}
    assert broken(soak(threads=lambda share: 20 + round(9 * share))) == {("threads", "worker 1")}
    slower = {("latency p50", "online, 1"), ("latency, alone", "online, 1")}
    assert broken(soak(ms=lambda share: 1 + share)) == slower


def test_what_has_a_most_by_design_may_grow_up_to_it():
    assert broken(soak(pool=lambda share: 20 + round(40 * share), logs=lambda share: 1 + 50 * share)) == set()
    assert broken(soak(pool=lambda share: 20 + round(900 * share))) == {("threads of Polars' pool", "worker 1")}
    # It counts that it was above, even if it came back.
    assert broken(soak(logs=lambda share: 700 if 0.4 < share < 0.6 else 1)) == {("disk", "logs")}


def test_figures_of_one_kind_stand_together_on_the_page(tmp_path):
    one = soak()
    twice = dict.fromkeys(("worker 1", "worker 2"), one.samples[0].processes["worker 1"])
    two = [replace(sample, processes=twice) for sample in one.samples]
    text = page.write(replace(one, samples=two), None, tmp_path).read_text()
    headings = [line for line in text.splitlines() if line.startswith("###")]
    assert len(headings) == len(set(headings))


def test_the_page_says_what_was_measured_and_what_does_not_hold(tmp_path):
    rise = Rise("2026-01-02T03:04:05+00:00", MACHINE, "A mix.", [Step(1, 500, 1, 2, 0), Step(2, 990, 1, 2, 0)])
    text = page.write(soak(ms=lambda share: 1 + share), rise, tmp_path).read_text()
    assert "for 60 minutes, on 2 cores and 25 GB of memory" in text
    assert "A short run" not in text
    assert "These do not:" in text
    change = "+69.3% raw, +69.3% beside the reference"
    assert f"| latency p50 | online, 1 | 1.15 ms | 1.95 ms | {change} | ≤ +10% | not explained |" in text
    assert "| 2 | 990 | 1 ms | 2 ms | 0 |" in text
    assert "saturated with 2 connections (990 requests/s)" in text
    assert {f"](soak/{path.name})" in text for path in (tmp_path / "soak").iterdir()} == {True}


def test_what_does_not_hold_has_its_reason(tmp_path):
    known = [Reason("soak", "memory: worker 2", "*", "Another."), Reason("soak", "memory: *", "*", "It leaks.")]
    text = page.write(soak(uss=lambda share: 200 + 100 * share), None, tmp_path, known).read_text()
    (row,) = (line for line in text.splitlines() if line.startswith("| memory | worker 1"))
    assert row.endswith("| It leaks. |")


def test_a_short_run_says_so_first(tmp_path):
    text = page.write(soak(seconds=HOUR / 2), None, tmp_path).read_text()
    assert text.splitlines()[2].startswith("**A short run, of 30 minutes")


def test_time_goes_to_the_right_and_values_upward():
    root = ET.fromstring(plots.over_time("memory", "MB", {"<worker>": [(0.0, 0.0), (30.0, 50.0), (60.0, 100.0)]}))
    line = next(root.iter("{http://www.w3.org/2000/svg}polyline"))
    first, second, third = ([float(number) for number in at.split(",")] for at in line.get("points", "").split())
    assert first[0] < second[0] < third[0]
    assert second[1] == pytest.approx((first[1] + third[1]) / 2)
    assert first[1] > third[1]


def test_on_a_logarithmic_axis_ten_times_as_much_is_as_far_everywhere_and_zero_is_left_out():
    drawn = plots.over_time("x", "ms", {"a": [(0.0, 0.0), (1.0, 0.1), (2.0, 1.0), (3.0, 10.0)]}, is_logarithmic=True)
    line = next(ET.fromstring(drawn).iter("{http://www.w3.org/2000/svg}polyline"))
    first, second, third = (float(at.split(",")[1]) for at in line.get("points", "").split())
    assert first - second == pytest.approx(second - third, abs=0.1)
    assert first > second


@pytest.mark.parametrize("is_logarithmic", [False, True])
def test_a_picture_of_nothing_but_zeros_can_be_drawn(is_logarithmic):
    ET.fromstring(plots.over_time("memory", "MB", {"worker": [(1.0, 0.0)]}, is_logarithmic=is_logarithmic))
