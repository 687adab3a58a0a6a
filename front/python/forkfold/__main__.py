# SPDX-License-Identifier: Apache-2.0
"""python -m forkfold: the command."""

import os
import sys
from pathlib import Path


def main() -> None:
    """Becomes the command, which is part of the package."""
    command = Path(__file__).with_name("forkfold-command")
    os.execv(command, ["forkfold", *sys.argv[1:]])


if __name__ == "__main__":
    main()
