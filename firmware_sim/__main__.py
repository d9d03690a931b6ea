"""`python -m firmware_sim …`: the `paygo sim` commands as a program of their own."""

import sys

from firmware_sim.cli import sim
from paygo_core.shell import run

if __name__ == "__main__":
    sys.exit(run(sim))
