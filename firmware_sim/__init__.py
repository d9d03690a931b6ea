"""The simulated control unit: our firmware, the battery, panel and loads that it is wired to, and its wires."""
