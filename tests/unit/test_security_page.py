"""What docs/security.md says is shown by tests that exist, and names every target of the fuzzer."""

from __future__ import annotations

import re
from pathlib import Path

from fuzz.inputs import TARGETS

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "security.md").read_text()


def test_every_test_that_is_named_exists():
    defined = {
        name for path in (ROOT / "tests").rglob("test_*.py") for name in re.findall(r"def (test_\w+)", path.read_text())
    }
    named = set(re.findall(r"`(test_\w+)`", PAGE))
    assert len(named) > 20
    assert named <= defined


def test_every_target_has_its_figures():
    rows = set(re.findall(r"^\| `(\w+)` \| [\d,]+ \|", PAGE, re.MULTILINE))
    assert rows == {*TARGETS}
