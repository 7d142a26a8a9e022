"""The bundled site: Murmur, a small microblog with its own database and a simulated audience.

A program of its own (`python -m orchestrator.demo`); of the rest of the package it uses only the clock.
"""
