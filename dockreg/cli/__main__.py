"""``python -m dockreg.cli`` is the ``dockreg`` command."""

from dockreg.cli.command import main

if __name__ == "__main__":
    main(prog_name="dockreg")
