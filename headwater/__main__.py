"""`python -m headwater` is the program `headwater`."""

from headwater.cli import main

main()
