"""The page of a fleet's run: reads its files by pieces, counts, estimates, and draws."""
