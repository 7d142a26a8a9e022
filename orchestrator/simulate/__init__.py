"""The schedule and the allocator in virtual time: who would wait how long for a context, days in seconds."""
