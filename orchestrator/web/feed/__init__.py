"""The live feed: what the house looks like now, and then what changes, for any number of listeners."""
