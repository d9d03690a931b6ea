"""The console script `paygo`: until the command is loaded, Ctrl-C ends it without a word."""

import signal


def main() -> None:
    """Loads the root command and runs it. Where SIGINT is ignored, as by nohup, it stays so."""
    handler = signal.getsignal(signal.SIGINT)
    if handler is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from paygo_core.cli import main as run

    signal.signal(signal.SIGINT, handler)
    run()
