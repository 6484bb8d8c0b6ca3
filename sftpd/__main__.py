"""`python -m sftpd` is the command `sftpd`."""

from sftpd.cli.main import main

if __name__ == "__main__":
    main()
