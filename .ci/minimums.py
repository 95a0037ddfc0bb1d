"""Prints each direct dependency at the least version that pyproject.toml states, as constraints for `pip install -c`.

`python .ci/minimums.py ray render`: with those of these extras.
"""

import re
import sys
import tomllib
from pathlib import Path

STATED = re.compile(r"([\w.-]+)>=([\w.]+)\s*(;.*)?")


def main() -> None:
    """One line a dependency; one that states no least version is a fault."""
    project = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    for stated in project["dependencies"] + [one for name in sys.argv[1:] for one in extras[name]]:
        found = STATED.fullmatch(stated)
        if found is None:
            sys.exit(f"pyproject.toml: {stated!r} states no least version; expected NAME>=VERSION")
        sys.stdout.write(f"{found[1]}=={found[2]}{found[3] or ''}\n")


if __name__ == "__main__":
    main()
