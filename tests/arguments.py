"""What the commands that prove something take on the command line."""

import argparse


def at_least_one(text: str) -> int:
    """A count for argparse; a proof of nothing would look like one."""
    try:
        count = int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number") from None
    if count < 1:
        raise argparse.ArgumentTypeError(f"{count} is not at least 1")
    return count
