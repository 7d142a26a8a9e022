"""The actor runtime: each job is an actor with a mailbox, a schedule and a retry rule, under a supervisor."""
