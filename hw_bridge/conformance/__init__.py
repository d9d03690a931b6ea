"""The test procedures that a control unit must pass, as data."""
