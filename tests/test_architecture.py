"""Who may know whom: the packages' imports, read from their source."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ROOMS = ("paygo_core", "firmware_sim", "hw_bridge")
MAY_KNOW = {"paygo_core": set(), "firmware_sim": {"paygo_core"}, "hw_bridge": {"paygo_core"}}
START_OF_SIMULATOR = ROOT / "hw_bridge" / "simulated.py"


def imported_rooms(source: Path) -> set[str]:
    """The rooms that a file imports, by statement or by importlib."""
    names: list[str] = []
    for node in ast.walk(ast.parse(source.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{source} imports relatively"
            names.append(node.module or "")
        elif isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            if called.split(".")[-1] in ("import_module", "__import__", "find_spec", "run_module"):
                names += [
                    arg.value for arg in node.args if isinstance(arg, ast.Constant) and isinstance(arg.value, str)
                ]
                assert all(isinstance(arg, ast.Constant) for arg in node.args[:1]), f"{source} hides what it imports"
    return {name.split(".")[0] for name in names} & set(ROOMS)


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_only_the_rooms_below_it(room: str) -> None:
    for source in (ROOT / room).rglob("*.py"):
        assert imported_rooms(source) <= MAY_KNOW[room] | {room}, source


def test_only_one_place_starts_the_simulator() -> None:
    for source in (ROOT / "hw_bridge").rglob("*.py"):
        if source != START_OF_SIMULATOR:
            assert '"firmware_sim"' not in source.read_text("utf-8"), source


def test_the_core_loads_no_heavy_library() -> None:
    heavy = "numpy sqlalchemy plotly jinja2 rich serial click"
    script = f"import sys, paygo_core; sys.exit(' '.join(n for n in '{heavy}'.split() if n in sys.modules) or None)"
    assert subprocess.run([sys.executable, "-c", script], check=False, capture_output=True).stderr == b""


def test_each_file_says_its_job_in_its_first_line() -> None:
    for room in (*ROOMS, "bench", "tests"):
        for source in (ROOT / room).rglob("*.py"):
            if source.name != "_native.py":
                docstring = ast.get_docstring(ast.parse(source.read_text("utf-8")))
                assert docstring, source
                assert docstring.splitlines()[0].strip(), source
        for source in (ROOT / room).rglob("*.[ch]"):
            if source.name != "_native.c":
                assert source.read_text("utf-8").startswith("/*"), source


def test_simulated_time_is_a_parameter() -> None:
    for source in (ROOT / "firmware_sim").rglob("*.py"):
        if source.name not in ("serve.py", "cli_scenario.py"):  # where people wait
            for clock in ("import time", "from time ", ".now(", ".today(", "utcnow"):
                assert clock not in source.read_text("utf-8"), source
