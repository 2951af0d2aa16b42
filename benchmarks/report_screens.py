"""Pictures of a report in Chromium, for people who change its page.

Writes `NAME-wide-light.png`, `NAME-wide-dark.png`, `NAME-phone-light.png` and
`NAME-paper-light.png` (as printed on A4), each as far as the window shows, and with `-full` the
whole page. `--pair FILE.png` takes the README's picture instead: the verdict beside two figures.
"""

import argparse
import shutil
from pathlib import Path

from playwright.sync_api import sync_playwright

ROOT = Path(__file__).resolve().parents[1]
# name: width and height in CSS pixels, scheme, medium
VIEWS = {
    "wide-light": (1280, 900, "light", "screen"),
    "wide-dark": (1280, 900, "dark", "screen"),
    "phone-light": (390, 844, "light", "screen"),
    "paper-light": (718, 1000, "light", "print"),
}
# Puts the verdict and two figures of a page beside each other, and nothing else.
PAIR = """() => {
  const box = document.createElement("div"), right = document.createElement("div");
  const verdict = document.querySelector(".verdict");
  box.id = "pair";
  box.style.cssText = "display:flex;gap:14px;align-items:center;width:1240px;padding:8px;"
    + "background:white;position:absolute;left:0;top:0";
  verdict.style.cssText = "margin:0;flex:0 0 640px;font-size:.86em";
  for (const name of ["loss-against-compute", "loss-against-size-at-each-budget"]) {
    const figure = document.querySelector(`#${name} svg`);
    figure.style.cssText = "display:block;width:100%;height:auto;margin:4px 0";
    right.append(figure);
  }
  right.style.flex = "1";
  box.append(verdict, right);
  document.body.replaceChildren(box);
}"""


def pair(browser, report, target):
    """Take the verdict beside two figures."""
    page = browser.new_page(viewport={"width": 1280, "height": 900}, device_scale_factor=1.6)
    page.goto(report.absolute().as_uri())
    page.evaluate(PAIR)
    page.locator("#pair").screenshot(path=target)
    page.close()


def take(browser, report, folder):
    """Take every picture of a report; return the files."""
    made = []
    for name, (width, height, scheme, medium) in VIEWS.items():
        page = browser.new_page(viewport={"width": width, "height": height}, color_scheme=scheme)
        page.emulate_media(media=medium)
        page.goto(report.absolute().as_uri())
        for full in (False, True):
            path = folder / f"{report.stem}-{name}{'-full' if full else ''}.png"
            page.screenshot(path=path, full_page=full)
            made.append(path)
        page.close()
    return made


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("reports", nargs="*", type=Path, metavar="REPORT.html")
    parser.add_argument("-o", "--output", type=Path, default=ROOT / "out" / "screens")
    parser.add_argument("--pair", type=Path, metavar="FILE.png")
    args = parser.parse_args()
    chromium = shutil.which("chromium")
    if chromium is None:
        parser.exit(1, "error: chromium is not installed; try: apt-get install chromium\n")
    args.output.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for report in args.reports or [ROOT / "reports" / "quickstart.html"]:
            if args.pair:
                pair(browser, report, args.pair)
                continue
            for path in take(browser, report, args.output):
                print(path)
        browser.close()


if __name__ == "__main__":
    main()
