"""What the firmware is wired to: panel, battery, lamp."""
