"""`python -m specsci`."""

from specsci.cli.main import main

if __name__ == "__main__":
    main()
