"""`python -m tft.cli` is `tft`."""

from tft.cli import main

main(prog_name="tft")
