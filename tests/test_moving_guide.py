"""docs/moving.md: its commands answer what the page shows, its program runs, its table of repairs is whole."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from paygo_core.moving import ACCEPTABLE

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "moving.md").read_text("utf-8")
PAYGO = f"{sys.executable} -c 'from paygo_core.cli import main; main()'"


def test_the_page_shows_what_its_commands_answer(tmp_path: Path) -> None:
    shutil.copy(ROOT / "examples" / "damaged-list.csv", tmp_path)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PAYGO_")}
    for block in re.findall(r"```console\n(.*?)```", PAGE, flags=re.DOTALL):
        answers = ""
        for command in re.findall(r"^\$ (.*)$", block, flags=re.MULTILINE):
            line = re.sub(r"^paygo ", f"{PAYGO} ", command)
            done = subprocess.run(
                line,
                shell=True,
                cwd=tmp_path,
                env={**environment, "HOME": str(tmp_path)},
                check=False,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=60,
            )
            answers += f"$ {command}\n{done.stdout}"
        assert block == answers
    (program,) = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, check=True, capture_output=True, text=True)
    assert done.stdout == "4 0 {}\n"


def test_every_repair_that_can_be_accepted_is_explained() -> None:
    rows = dict(re.findall(r"^\| `([a-z][a-z-]*)` \| (.*) \|$", PAGE, flags=re.MULTILINE))
    assert list(rows) == sorted(ACCEPTABLE)
    for kind, meaning in ACCEPTABLE.items():
        assert rows[kind].endswith(meaning)
