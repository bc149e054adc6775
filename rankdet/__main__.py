"""The command ``rankdet`` as ``python -m rankdet``."""

from rankdet.cli import main

if __name__ == "__main__":  # The processes of a job import this module, too.
    main()
