"""Tells people outside what is wrong: which problems become alerts, who was told, and how they are sent."""
