"""The language model: one way to ask it, and what may be spent on that."""
