"""Command line: python -m trainer train | bench | evaluate | export."""

import sys
from collections.abc import Sequence

from trainer import arguments


def main(words: Sequence[str] | None = None) -> int:
    """Run one command; return the exit status: 0, 2 for bad input, 1 for a failure, 130 after Ctrl-C."""
    choice = arguments.parse(sys.argv[1:] if words is None else words)
    try:
        from trainer import commands  # torch takes seconds to import, which a wrong word need not wait for

        return commands.run(choice)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
