"""`python -m disentangle`: the command line."""

from ._command import main

main()
