"""`python -m specsci`."""

from specsci.cli.entry import main

if __name__ == "__main__":
    main()
