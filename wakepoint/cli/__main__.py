"""`python -m wakepoint.cli`."""

from wakepoint.cli import main

if __name__ == "__main__":
    main()
