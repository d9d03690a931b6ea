"""Fleets that move house: device lists of any origin come in, and go out again."""

from paygo_core.moving.cells import ACCEPTABLE
from paygo_core.moving.columns import load_mapping
from paygo_core.moving.exporting import export_list
from paygo_core.moving.importing import Refusal, Report, import_list
from paygo_core.moving.source import Source, open_source

__all__ = ["ACCEPTABLE", "Refusal", "Report", "Source", "export_list", "import_list", "load_mapping", "open_source"]
