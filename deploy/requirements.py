"""Writes what pyproject.toml asks for into build.txt and run.txt: pip alone installs it only with the package.

python requirements.py EXTRA,...
"""

import sys
import tomllib
from pathlib import Path

PYPROJECT = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))
EXTRAS = PYPROJECT["project"]["optional-dependencies"]
RUN = [*PYPROJECT["project"]["dependencies"], *(each for name in sys.argv[1].split(",") for each in EXTRAS[name])]

Path("build.txt").write_text("\n".join(PYPROJECT["build-system"]["requires"]), encoding="utf-8")
Path("run.txt").write_text("\n".join(RUN), encoding="utf-8")
