"""docs/api.md is what `make api` makes, and says something of every public name."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def make_api() -> ModuleType:
    """docs/make_api.py, which is no package."""
    spec = importlib.util.spec_from_file_location("make_api", ROOT / "docs" / "make_api.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_the_page_is_what_the_docstrings_say(make_api: ModuleType) -> None:
    made = make_api.page()
    assert make_api.PAGE.read_text("utf-8") == made, "run `make api`"


def test_a_public_name_without_a_docstring_is_refused(make_api: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(make_api.PUBLIC, "paygo_core.batch", ("SLICE", "SIMD"))
    make_api.page()
    monkeypatch.setitem(make_api.PUBLIC, "paygo_core.wire.metrics", ("LARGEST_PAYLOAD", "_SHORT"))
    with pytest.raises(make_api.Undocumented, match="_SHORT"):
        make_api.page()


def test_every_name_on_the_page_can_be_imported(make_api: ModuleType) -> None:
    module, seen = "", 0
    for line in make_api.PAGE.read_text("utf-8").splitlines():
        if line.startswith("## `"):
            module = line.strip("# `")
        elif line.startswith("### `"):
            assert hasattr(importlib.import_module(module), line.strip("# `")), (module, line)
            seen += 1
    assert seen > 60


def test_what_the_packages_export_is_on_the_page(make_api: ModuleType) -> None:
    page = make_api.PAGE.read_text("utf-8")
    for path in ("paygo_core", "paygo_core.registry", "paygo_core.compat"):
        assert make_api.PUBLIC[path] == ()
        for name in importlib.import_module(path).__all__:
            assert f"### `{name}`\n" in page, name
