"""The command that runs a performance guide's scripts, given a small guide of our own."""

import subprocess
import sys
from pathlib import Path

import pytest

COMMAND = Path(__file__).parents[2] / "benchmarks" / "guides.py"

STORE = r"""
import sys
sys.path.append('/app/src')
import pathlib
from features.store.feature_store import SimpleFeatureStore, FeatureStoreConfig
store = SimpleFeatureStore(FeatureStoreConfig(base_path='/app/data/inner'))
figures = {\"name\": 'quoted'}
print(f'\\nfolder {pathlib.Path(\"/app/data\").is_dir()}, {figures[\"name\"]}')
for size in (1, 2, 3):
    print(f'save: 0.01 s (%SAVE% MB/s)')
    print(f'load: 0.01 s (40.00 MB/s)')
"""
PRINTED = [
    "print('a: 5000.0 movies/sec (wanted)')\nprint('b: 12.5 MB')",
    STORE,
    "print('worker 1: 5/5 done')\nprint('rate: 97.5%')\n" + "print('worker: 5/5 done')\n" * 7,
    (
        "for done in (100, 200, 300): print(f'did: {done} well, 0 badly')\nprint('m: 50.0 MB')\nprint('m: 60.5 MB')\n"
        "print('=====')\nprint('all: 300 rounds')\nprint('bad: 0 rounds')"
    ),
    "for number in (1, 2, 3): print(f'round {number}: {50 + number}.0 MB')",
    "print('one: 12.00ms')\nprint('two: 1.00ms')\nprint('size: 5/20')",
]


@pytest.fixture
def guide(tmp_path):
    def write(save: str) -> Path:
        path = tmp_path / "guide.md"
        code = [text.replace("%SAVE%", save) for text in PRINTED]
        blocks = [f'```bash\n# a step\ndocker compose exec dev python -c "\n{text}\n"\n```\n' for text in code]
        path.write_text("\n".join(["# Steps", "```bash\nls\n```", *blocks]))
        return path

    return write


def run(guide: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(COMMAND), "--guide", str(guide), "--show"],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
        env={"COLUMNS": "200", "PATH": "/usr/bin:/bin", "PYTHONUTF8": "1"},
    )


def test_scripts_run_as_they_stand_and_are_graded(guide):
    done = run(guide("25.00"))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "\nfolder True, quoted" in done.stdout
    table = done.stdout.partition("criterion")[2]
    for figure in ("5,000.0 movies/s", "12.5 MB", "25.0 MB/s", "97.5 %", "40.0 of 40", "10.5 MB", "12.0 times faster"):
        assert figure in table
    assert "missed" not in table
    assert "floor" not in table.partition("┡")[2]


def test_a_figure_below_its_floor_fails_the_command(guide):
    done = run(guide("9.00"))
    assert done.returncode == 1
    assert done.stdout.count("missed") == 3


def test_a_script_that_fails_and_a_file_that_is_no_such_guide_are_told(guide, tmp_path):
    broken = guide("25.00")
    broken.write_text(broken.read_text().replace("print('a:", "raise SystemExit('went wrong')\nprint('a:"))
    assert "went wrong" in run(broken).stderr
    other = tmp_path / "other.md"
    other.write_text("# Nothing")
    assert "has 0 scripts" in run(other).stderr
