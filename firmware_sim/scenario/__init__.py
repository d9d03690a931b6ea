"""Scenarios: units, weather, events and expectations from one TOML file, played and checked."""
