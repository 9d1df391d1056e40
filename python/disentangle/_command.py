"""The command line, for the script `disentangle`."""

import signal
import sys

from . import _native


def main() -> None:
    """Runs the program with the arguments of this process and ends the process with its exit code."""
    # Python only takes a note of Ctrl-C while native code runs; the program sees to it itself.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    _native.main(["disentangle", *sys.argv[1:]])
