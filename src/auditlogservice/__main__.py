"""`auditlogservice` and `python -m auditlogservice`: the command line, and nothing else."""

from auditlogservice.runtime.cli.app import main

__all__ = ["main"]

if __name__ == "__main__":
    main()
