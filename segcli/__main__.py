"""`python -m segcli` and the `segcli` script."""

from segcli.cli import main

if __name__ == "__main__":
    main()
