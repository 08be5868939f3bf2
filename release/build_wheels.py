"""Builds what a release publishes, and proves each file: python release/build_wheels.py [--output dist] [PYTHON ...]

The sdist is built from the checkout, and each PYTHON builds its wheel from that sdist: 3.11 one for itself, 3.12 one
for itself and all later versions. The wheel is given the oldest platform that its symbols allow. It is then installed
where no compiler is to be found, and must rank with compiled kernels. Nothing is published.

--sbom also writes a bill of materials (CycloneDX) of what an installation with the extras `serve` and `search` holds.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import subprocess
import sys
import tarfile
import tempfile
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TOOLS = ROOT / "build" / "release"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
# cibuildwheel builds with the same settings.
SETTINGS = shlex.split(PROJECT["tool"]["cibuildwheel"]["config-settings"])
CONSTRAINTS = ["--constraint", str(ROOT / "constraints.txt")]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pythons", nargs="*", metavar="PYTHON", help="interpreters to build wheels with")
    parser.add_argument("--output", type=Path, default=ROOT / "dist")
    parser.add_argument("--sbom", action="store_true")
    options = parser.parse_args()
    output: Path = options.output.resolve()
    tools = environment(Path(sys.executable), TOOLS, "-r", str(ROOT / "release" / "requirements.txt"))
    run(tools, "-m", "build", "--sdist", "--outdir", str(output), str(ROOT))
    (sdist,) = output.glob(f"*-{PROJECT['project']['version']}.tar.gz")
    with tarfile.open(sdist) as archive:
        held = {member.name.partition("/")[2] for member in archive if not member.isdir()}
    if differ := held ^ {"PKG-INFO", *run("git", "-C", ROOT, "ls-files").splitlines()}:
        sys.exit(f"{sdist.name} is not what git has: {', '.join(sorted(differ)[:10])}")
    for python in options.pythons:
        print(prove(python, wheel(tools, python, sdist, output)), flush=True)
    if options.sbom:
        write_sbom(tools, sdist, output / f"{PROJECT['project']['name']}.cdx.json")


def run(*command: str | Path, **variables: str) -> str:
    return subprocess.run(
        [str(part) for part in command], check=True, stdout=subprocess.PIPE, text=True, env={**os.environ, **variables}
    ).stdout


def environment(python: str | Path, folder: Path, *packages: str, **variables: str) -> Path:
    """The Python of a new environment that holds `packages`."""
    run(python, "-m", "venv", "--clear", folder)
    made = folder / "bin" / "python"
    run(made, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *packages, **variables)
    return made


def wheel(tools: Path, python: str, sdist: Path, output: Path) -> Path:
    """The wheel of this interpreter, under the name of the platforms on which it runs."""
    with tempfile.TemporaryDirectory() as folder:
        settings = [f"--config-settings={setting}" for setting in SETTINGS]
        run(python, "-m", "pip", "wheel", "--quiet", "--no-deps", *settings, "--wheel-dir", folder, sdist)
        (built,) = Path(folder).glob("*.whl")
        if built.stem.endswith("-any"):
            sys.exit(f"{python}: the kernels were not compiled; the wheel would be {built.name}")
        if "-abi3-" in built.name:
            run(tools, "-m", "abi3audit", "--strict", built)
        if sys.platform != "linux":
            return built.replace(output / built.name)
        path = f"{tools.parent}{os.pathsep}{os.environ['PATH']}"
        before = set(output.glob("*.whl"))
        run(tools, "-m", "auditwheel", "repair", "--wheel-dir", output, built, PATH=path)
        named = set(output.glob("*.whl")) - before or {max(before, key=lambda path: path.stat().st_mtime)}
        return named.pop()


def prove(python: str, built: Path) -> str:
    """Installs the wheel, and then an extra, without a compiler; ranks. Returns what was seen."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "environment"
        bare = {"CC": "/bin/false", "CXX": "/bin/false", "PATH": str(place / "bin")}
        made = environment(python, place, "--only-binary=:all:", *CONSTRAINTS, str(built), **bare)
        seen = run(made, ROOT / "release" / "prove.py", **bare).strip()
        extra = f"{PROJECT['project']['name']}[search] @ {built.as_uri()}"
        run(made, "-m", "pip", "install", "--quiet", "--only-binary=:all:", *CONSTRAINTS, extra, **bare)
        run(made, "-c", "import bm25s", **bare)
    return f"{built.name}: {built.stat().st_size / 1e6:.1f} MB, {seen}; [search] came without a compiler"


def write_sbom(tools: Path, sdist: Path, file: Path) -> None:
    """A bill of materials of an installation, with what is compiled or copied into the package itself."""
    with tempfile.TemporaryDirectory() as folder:
        wanted = f"{PROJECT['project']['name']}[serve,search] @ {sdist.as_uri()}"
        made = environment(sys.executable, Path(folder) / "environment", *CONSTRAINTS, wanted)
        run(made, "-m", "pip", "uninstall", "--quiet", "--yes", "pip", "setuptools")
        bill = json.loads(run(tools, "-m", "cyclonedx_py", "environment", "--pyproject", ROOT / "pyproject.toml", made))
    inside = json.loads((ROOT / "release" / "inside.json").read_text(encoding="utf-8"))
    bill["components"] += inside
    root = bill["metadata"]["component"]["bom-ref"]
    (depends,) = (entry for entry in bill["dependencies"] if entry["ref"] == root)
    depends.setdefault("dependsOn", []).extend(part["bom-ref"] for part in inside)
    bill["dependencies"] += [{"ref": part["bom-ref"]} for part in inside]
    file.write_text(json.dumps(bill, indent=2), encoding="utf-8")
    print(f"{file.name}: {len(bill['components'])} components")


if __name__ == "__main__":
    main()
