"""Which devices exist, their keys and their counts."""
