"""`python -m orchestrator.demo`: run the bundled site."""

import logging
import sys

import trio

from orchestrator.demo.options import StartError, parse_options
from orchestrator.demo.parent import die_with_parent
from orchestrator.demo.site import run


def main() -> int:
    logging.basicConfig(
        stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s"
    )
    try:
        options = parse_options(sys.argv[1:])
        if options.parent is not None:
            die_with_parent(options.parent)
        trio.run(run, options)
    except StartError as error:
        sys.stderr.write(f"murmur: {error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
