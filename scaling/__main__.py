"""Run the command line as ``python -m scaling``."""

from scaling.cli.app import main

if __name__ == "__main__":
    main()
