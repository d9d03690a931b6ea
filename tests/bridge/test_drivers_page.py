"""docs/drivers.md: its template is a driver, and the suite passes good drivers and fails bad ones."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "drivers.md").read_text("utf-8")
DRIVER, SUITE = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


def run(directory: Path, driver: str = DRIVER, only: str = "") -> dict[str, str]:
    """What became of each test of the suite."""
    (directory / "lamp_driver.py").write_text(driver)
    (directory / "test_lamp.py").write_text(SUITE)
    (directory / "pytest.ini").write_text("[pytest]\nfilterwarnings = error\n")
    command = [sys.executable, "-m", "pytest", "-rA", "-q", "--tb=no", "-p", "no:cacheprovider", "-k", only]
    shown = subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False, timeout=100)
    return {
        name.partition(" - ")[0]: result
        for result, name in re.findall(
            r"^(PASSED|FAILED|ERROR) test_lamp.py::TestLampDriver::(.*)$", shown.stdout, re.M
        )
    }


def test_the_template_passes_the_suite(tmp_path):
    results = run(tmp_path)
    assert len(results) >= 16
    assert set(results.values()) == {"PASSED"}, results


@pytest.mark.parametrize(
    ("right", "wrong", "noticed"),
    [
        ("float(said[1])", "1000 * float(said[1])", "test_its_telemetry_is_in_si_units"),
        (
            "raise NoAnswerError(",
            "return READING.match(b'V=1 I=1 SN=A L=0') or print(",
            "test_a_silent_line_is_no_answer",
        ),
        ('return Info(self._ask(b"?\\n")[3].decode())', "return 'M7'", "test_its_answers_are_of_the_right_kind"),
        (
            'if mode not in ("off", "auto")',
            'self._ask(b"L1\\n")\n        if mode not in ("off", "auto")',
            "test_its_switch_moves",
        ),
        (
            "pending = pending[-LONGEST_LINE:]",
            "self.kept = getattr(self, 'kept', b'') + pending * 99",
            "test_a_line_that_never_stops",
        ),
        (
            "raise NoAnswerError(",
            "self._timeout = 0\n        raise NoAnswerError(",
            "test_it_goes_on_after_half_an_answer",
        ),
    ],
    ids=["units", "silence", "kinds", "switch", "memory", "recovery"],
)
def test_the_suite_notices_a_driver_that_is_wrong(right, wrong, noticed, tmp_path):
    assert right in DRIVER
    results = run(tmp_path, DRIVER.replace(right, wrong), only=noticed)
    assert "FAILED" in results.values(), results
