"""Looks at pages of `disentangle` in headless Chromium: nothing in its console, and the figures are on the screen.

    python .ci/browser.py FOLDER PAGE...

The folder is for what the browser draws. Needs Pillow.
"""

import os
import pathlib
import re
import subprocess
import sys

from PIL import Image

# Colours that only figures have: bars, curves and dots; the gap; the deepest shade of a heat map.
FIGURES = {"bars and dots": "1f5fa8", "heat map": "b22828"}
SECTIONS = 9
LEAST_PIXELS = 50
CONTROL = "<!doctype html><script>console.error('seen')</script><img src='nothing.png'>"


def browse(*arguments: str) -> tuple[str, str]:
    sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []
    command = ["chromium", "--headless", *sandbox, "--disable-gpu", "--enable-logging=stderr", "--hide-scrollbars", *arguments]
    run = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    return run.stdout, run.stderr


def console(log: str) -> list[str]:
    return [line for line in log.splitlines() if "CONSOLE" in line]


def pixels(picture: pathlib.Path) -> dict[str, int]:
    image = Image.open(picture).convert("RGB")
    counts = dict((colour, count) for count, colour in image.getcolors(image.width * image.height))
    return {name: counts.get(tuple(bytes.fromhex(code)), 0) for name, code in FIGURES.items()}


def look(page: pathlib.Path, folder: pathlib.Path) -> None:
    address = page.resolve().as_uri()
    picture = folder / f"{page.stem}.png"
    document, log = browse("--dump-dom", address)
    log += browse("--window-size=900,4000", f"--screenshot={picture}", address)[1]
    assert not console(log), console(log)
    sections = re.findall("<h[12]", document)
    assert len(sections) == SECTIONS, sections
    seen = pixels(picture)
    assert all(count >= LEAST_PIXELS for count in seen.values()), (page, seen)
    print(f"{page.name}: {document.count('<svg')} figures, {seen}")


def main() -> None:
    folder, pages = pathlib.Path(sys.argv[1]), sys.argv[2:]
    # What is not noticed in a page that is wrong would not be noticed in ours.
    control = folder / "control.html"
    control.write_text(CONTROL)
    assert console(browse("--dump-dom", control.resolve().as_uri())[1]), "errors in the console are not seen"
    for page in pages:
        look(pathlib.Path(page), folder)


if __name__ == "__main__":
    main()
