"""For the tests of users' own jobs: a house in memory, as pytest's fixture `house` (docs/own-jobs.md).

Nothing of the daemon imports this package. It is empty here, so that pytest, which loads `plugin` at
every start, gets no more than that.
"""
