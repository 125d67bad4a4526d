"""The page of the benchmarks: what a run measured stands on it, all of it, and no miss goes unexplained."""

import socket
from xml.etree import ElementTree as ET

import msgspec
import pytest
from benchmarks import page, plots, ports, reasons, run
from benchmarks.measure import Growth, Result, exponent
from benchmarks.reasons import Reason, UnexplainedMiss
from benchmarks.run import Machine, Run

MET = Result("save", "1,000 × 10", "2.1 ms", "write + 4 syncs 1.5 ms", "1.40", "≤ 1.5", met=True)
MISSED = Result("save", "10,000 × 30", "9.1 ms", "write + 4 syncs 5 ms", "1.82", "≤ 1.5", met=False)
AIMLESS = Result("beside", "push of one row", "12 ms (LMDB)", "Feast 0.67.0: failed: no disk", "", "", met=True)
WON = Result(
    "beside", "frame, 10 × 10", "2 ms", "DuckDB: 4 ms", "2 × faster", "", True, {"Tiffin": 0.002, "DuckDB": 4e-3}
)
LOST = Result(
    "beside", "frame, 10 × 10", "2 ms", "Polars: 1 ms", "2 × slower", "", True, {"Tiffin": 0.002, "Polars": 1e-3}
)
POINTS = [(10.0, 0.01), (100.0, 0.1), (1000.0, 1.0)]
GROWN = Result("read", "over rows", "rows to the 1.00", "", "", "≤ 1.1", met=True, growth=Growth("rows", POINTS))
WHY = Reason("saving", "save: 10,000*", "*", "Each column costs | a system call.")


def made(*, quick: bool = False, **results: list[Result]) -> Run:
    machine = Machine(cores=2, memory_gb=24.9, system="Linux x86_64", python="3.11.7", libraries={"polars": "2.1.0"})
    return Run("2026-01-02T03:04:05+00:00", 612.0, quick, 0.51, 1.98, machine, results)


def written(folder, measured: Run, *known: Reason) -> str:
    return page.write(measured, known, folder).read_text()


def test_what_was_measured_stands_on_the_page(tmp_path):
    text = written(tmp_path, made(saving=[MET], beside=[AIMLESS, WON, LOST]))
    assert "| save: 1,000 × 10 | 2.1 ms | write + 4 syncs 1.5 ms | 1.40 | ≤ 1.5 | met |" in text
    assert "2 cores and 25 GB of memory, Linux x86_64, Python 3.11.7; load 0.51 before and 1.98 after" in text
    assert "1 of 1 goals are met" in text
    assert "| push of one row | 12 ms (LMDB) | Feast 0.67.0: failed: no disk |  |  |  |" in text


def test_losses_are_told_as_plainly_as_wins(tmp_path):
    text = written(tmp_path, made(beside=[WON, LOST]))
    assert "slower in 1 of 2 comparisons: frame, 10 × 10 (Polars)." in text
    assert "| Polars: 1 ms | 2 × slower |  | **slower** |" in text
    assert "| DuckDB: 4 ms | 2 × faster |  |  |" in text


def test_a_miss_stands_at_the_top_with_its_reason(tmp_path):
    text = written(tmp_path, made(saving=[MET, MISSED]), WHY)
    assert "1 of 2 goals are met" in text
    why = "Each column costs \\| a system call."
    assert f"| Saving and reading: save: 10,000 × 30 | ≤ 1.5 | 9.1 ms, 1.82 | {why} |" in text
    assert "| save: 10,000 × 30 | 9.1 ms | write + 4 syncs 5 ms | 1.82 | ≤ 1.5 | **missed** |" in text


@pytest.mark.parametrize(
    "other",
    [
        Reason("caching", "*", "*", "of another part"),
        Reason("saving", "save: 1,000*", "*", "of another case"),
        Reason("saving", "*", "< 1", "of another goal"),
        Reason("saving", "*", "*", ""),
    ],
)
def test_a_miss_without_a_reason_is_refused_and_writes_nothing(tmp_path, other):
    with pytest.raises(UnexplainedMiss, match=r"saving: save: 10,000 × 30: 9\.1 ms, 1\.82 \(goal ≤ 1\.5\)"):
        written(tmp_path, made(saving=[MET, MISSED]), other)
    assert list(tmp_path.iterdir()) == []


def test_a_quick_run_needs_no_reasons_and_says_what_it_is(tmp_path):
    text = written(tmp_path, made(quick=True, saving=[MISSED]), WHY)
    assert "A quick run: the cases are smaller" in text
    assert "Each column costs" in text
    assert "Not looked into: a quick run." in written(tmp_path, made(quick=True, saving=[MISSED]))


def test_what_was_left_out_is_named(tmp_path):
    text = written(tmp_path, made(saving=[MET]))
    assert "Not measured in this run: What the guides ask for" in text
    assert "Saving and reading" not in text.partition("Not measured in this run")[2].partition("\n")[0]


def test_every_part_that_can_be_run_has_its_place_on_the_page():
    source = (page.DOCS.parent / "benchmarks" / "__main__.py").read_text()
    assert set(page.TITLES) == {line.split('"')[1] for line in source.splitlines() if ": lambda chosen:" in line}


def test_pictures_stand_alone_and_are_linked(tmp_path):
    text = written(tmp_path, made(beside=[WON, LOST], growth=[GROWN]))
    for name in ("beside", "growth"):
        assert f"](benchmarks/{name}.svg)" in text
        picture = (tmp_path / "benchmarks" / f"{name}.svg").read_text()
        assert {element.tag.rpartition("}")[2] for element in ET.fromstring(picture).iter()} <= {
            "svg", "title", "style", "rect", "text", "g", "line", "polyline", "circle",
        }  # fmt: skip
        assert "http" not in picture.replace("http://www.w3.org/2000/svg", "")


def test_dots_are_in_order_and_as_far_as_the_logarithm_of_their_times():
    root = ET.fromstring(plots.dots({"case <1>": {"Slow": 1.0, "Tiffin": 0.01, "Middle": 0.1}}))
    drawn = list(root.iter("{http://www.w3.org/2000/svg}circle"))
    assert [one.get("class") for one in drawn] == ["ours", "other", "other"]
    first, second, third = (float(one.get("cx", 0)) for one in drawn)
    assert second - first == pytest.approx(third - second, abs=0.1)
    assert second > first


def test_lines_have_a_dot_where_the_figure_is():
    root = ET.fromstring(plots.lines({"over rows": {"read": Growth("rows", POINTS)}}))
    at = [(float(one.get("cx", 0)), float(one.get("cy", 0))) for one in root.iter("{http://www.w3.org/2000/svg}circle")]
    (left, bottom), (middle_x, middle_y), (right, top) = at
    assert (middle_x, middle_y) == (pytest.approx((left + right) / 2), pytest.approx((bottom + top) / 2))
    assert right > left
    assert bottom > top
    assert "read: size to the 1.00" in [one.text for one in root.iter("{http://www.w3.org/2000/svg}text")]


def test_a_run_is_read_as_it_was_written(tmp_path):
    measured = made(saving=[MET, MISSED], beside=[LOST], growth=[GROWN])
    measured.write(tmp_path / "deep" / "run.json")
    again = run.read(tmp_path / "deep" / "run.json")
    assert written(tmp_path / "one", measured, WHY) == written(tmp_path / "two", again, WHY)
    (tmp_path / "other.json").write_text('[{"case": "made up"}]')
    with pytest.raises(msgspec.ValidationError):
        run.read(tmp_path / "other.json")


def test_a_clock_notes_the_machine_and_its_load():
    measured = run.Clock().stop({"saving": [MET]}, quick=True)
    assert measured.machine.cores >= 1
    assert measured.machine.libraries["tiffin"]
    assert measured.load_before >= 0
    assert measured.load_after >= 0


def test_the_reasons_that_are_kept_can_be_read():
    assert {one.part for one in reasons.load()} <= {*page.TITLES, "soak"}


@pytest.mark.parametrize("entry", ['case = "*"\ntext = "t"', 'part = "saving"\ncase = "*"\ntext = ""', 'why = "t"'])
def test_an_entry_that_is_no_reason_is_refused(tmp_path, entry):
    (tmp_path / "reasons.toml").write_text(f"[[reason]]\n{entry}\n")
    with pytest.raises(ValueError, match="needs part, case, text"):
        reasons.load(tmp_path / "reasons.toml")


@pytest.mark.parametrize("power", [-0.5, 0.0, 0.5, 1.0, 2.0])
def test_the_exponent_of_a_power_is_found(power):
    assert exponent([(size, 3.0 * size**power) for size in (1.0, 10.0, 50.0, 7000.0)]) == pytest.approx(power)


def test_the_exponent_is_the_least_squares_fit():
    # In powers of ten the points are (0, 0), (1, 2), (2, 1): middle (1, 1), slope (1 + 0 + 0) / 2.
    assert exponent([(1, 1), (10, 100), (100, 10)]) == pytest.approx(0.5)


def test_one_size_has_no_exponent():
    with pytest.raises(ValueError, match="two sizes"):
        exponent([(10, 1.0), (10, 2.0)])


def test_a_free_port_is_not_one_that_the_system_gives_to_others(tmp_path, monkeypatch):
    given = tmp_path / "range"
    given.write_text("10004\t65530\n")
    monkeypatch.setattr(ports, "_GIVEN_AWAY", given)
    found = {ports.free_port() for _ in range(200)}
    assert found <= {*range(10_000, 10_004), *range(65_531, 65_536)}
    taken = min(found)
    with socket.socket() as server:
        server.bind(("127.0.0.1", taken))
        assert taken not in {ports.free_port() for _ in range(200)}
