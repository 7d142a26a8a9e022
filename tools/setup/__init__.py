"""Sets this checkout up: virtual environment, packages, browser. Needs nothing but Python itself.

Idempotent: what is there and up to date is left alone, what is broken or half done is made again.
"""
