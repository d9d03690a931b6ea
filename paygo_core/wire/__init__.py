"""Wire formats as state machines over bytes, without input or output."""
