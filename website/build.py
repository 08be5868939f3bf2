"""Build the documentation site: `python -m website.build` writes static pages to build/site."""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from website.llms_text import llms_full_text, llms_text
from website.staged_pages import ROOT, stage

_CONFIG = Path(__file__).with_name("zensical.toml")


def build(site: Path) -> None:
    """Write the site into the folder `site`, anew."""
    urls = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["urls"]
    text = _CONFIG.read_text(encoding="utf-8")
    config = tomllib.loads(text)["project"]
    # JSON strings are TOML strings.
    # No repo_url: a page would ask api.github.com for the repository's stars.
    source = f'Apache-2.0 · <a href="{urls["Source"]}">Source</a>'
    addresses = {"site_url": urls["Documentation"], "copyright": source, "docs_dir": "pages"}
    head = "".join(f"{name} = {json.dumps(value)}\n" for name, value in addresses.items())
    with tempfile.TemporaryDirectory() as made:
        staged = Path(made)
        stage(staged / "pages", f"{urls['Source']}/blob/main")
        (staged / "zensical.toml").write_text(text.replace("[project]\n", f"[project]\n{head}", 1), encoding="utf-8")
        subprocess.run([sys.executable, "-m", "zensical", "build", "--strict"], cwd=staged, check=True)
        shutil.rmtree(site, ignore_errors=True)
        shutil.copytree(staged / "site", site)
        pages = [staged / "pages" / name for name in pages_in_order(config["nav"])]
        for page in pages:
            shutil.copy(page, site)
        summary = llms_text(config["site_name"], config["site_description"], urls["Documentation"], pages)
        (site / "llms.txt").write_text(summary, encoding="utf-8")
        (site / "llms-full.txt").write_text(llms_full_text(pages), encoding="utf-8")


def pages_in_order(navigation: Any) -> Iterator[str]:
    """The file names of the pages, as the navigation lists them."""
    if isinstance(navigation, str):
        yield navigation
    else:
        for entry in navigation.values() if isinstance(navigation, dict) else navigation:
            yield from pages_in_order(entry)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=Path("build/site"), help="the folder to write (%(default)s)")
    build(parser.parse_args().output)
