"""Texts to publish: where they come from, and the gates that they must pass."""
