"""The health of the house: the start-up gate, the checks, the modes, and the status that people read."""
