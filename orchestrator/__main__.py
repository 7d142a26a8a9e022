"""The command `orchestrator`, also as `python -m orchestrator`."""

import signal


def main() -> None:
    """Run the command line."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        # Until something listens to it, Ctrl-C ends us as SIGTERM does: at once, without a traceback.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from orchestrator.cli import main as run_command

    run_command()


if __name__ == "__main__":
    main()
