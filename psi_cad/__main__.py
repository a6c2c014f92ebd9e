"""`python -m psi_cad` is the `psi-cad` command."""

from psi_cad.cli.main import entry

if __name__ == "__main__":
    entry()
