"""A real browser for tests of pages: Debian's Chromium, headless, without a network."""

import contextlib
import re
import shutil
from dataclasses import dataclass, field

WIDE = (1280, 900)
NARROW = (390, 844)
# The name service answers nothing, so that not even a prefetch leaves the machine.
FLAGS = ("--host-resolver-rules=MAP * ~NOTFOUND", "--disable-background-networking")


def lacking():
    """Return why no browser can be started here, or nothing."""
    if shutil.which("chromium") is None:
        return "chromium is not installed: apt-get install chromium"
    try:
        import playwright.sync_api  # noqa: F401
    except ImportError:
        return "playwright is not installed: pip install playwright"
    return ""


@contextlib.contextmanager
def chromium():
    """Start a browser, and end it with the block.

    While it runs, the thread counts as one with a running event loop, and so `asyncio.run` is
    refused: let no browser outlive the tests of its file.
    """
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        try:
            yield browser
        finally:
            browser.close()


@dataclass
class Watch:
    """What a page asked for beside itself, and what it complained of."""

    url: str
    strangers: list = field(default_factory=list)
    complaints: list = field(default_factory=list)

    def route(self, route):
        """Let the page itself pass and nothing else."""
        if route.request.url.split("#")[0] == self.url:
            route.continue_()
            return
        self.strangers.append(route.request.url)
        route.abort()

    def listen(self, page):
        """Gather what the page does from here on."""
        page.on("pageerror", lambda error: self.complaints.append(f"error: {error}"))
        page.on("console", self._console)
        page.on("websocket", lambda socket: self.strangers.append(socket.url))
        page.on("popup", lambda other: self.strangers.append(f"window: {other.url}"))
        page.on("dialog", self._dialog)

    def _console(self, message):
        if message.type in ("error", "warning"):
            self.complaints.append(f"{message.type}: {message.text}")

    def _dialog(self, dialog):
        self.complaints.append(f"dialog: {dialog.message}")
        dialog.dismiss()


class Visits:
    """Opens pages, each in a profile of its own, and watches all of them."""

    def __init__(self, browser):
        self.browser = browser
        self.watches, self.contexts = [], []

    def __call__(self, path, *, size=WIDE, scheme="light", scripts=True, anchor=""):
        """Open a file and return its page, which has a `watch`."""
        context = self.browser.new_context(
            viewport={"width": size[0], "height": size[1]},
            color_scheme=scheme,
            java_script_enabled=scripts,
            reduced_motion="reduce",
            offline=True,
            accept_downloads=True,
        )
        self.contexts.append(context)
        context.set_default_timeout(5000)
        watch = Watch(path.absolute().as_uri())
        self.watches.append(watch)
        context.route("**/*", watch.route)
        page = context.new_page()
        watch.listen(page)
        page.goto(watch.url + anchor)
        page.watch = watch
        return page

    def close(self):
        """Close every page."""
        for context in self.contexts:
            context.close()


# A point that nothing else covers, so that the mouse can reach it.
FREE = """figure => [...figure.querySelectorAll("use[data-i]")].findIndex(use => {
    const box = use.getBoundingClientRect();
    return document.elementFromPoint(box.x + box.width / 2, box.y + box.height / 2) === use;
})"""
# Boxes that reach beyond the right edge of the window and stand in no box that scrolls.
OUTSIDE = """() => [...document.querySelectorAll("body *")].filter(element => {
    if (element.closest("svg, math") && !element.matches("svg, math")) return false;
    const box = element.getBoundingClientRect();
    if (!box.width || !box.height || box.right <= innerWidth + 1) return false;
    for (let up = element.parentElement; up; up = up.parentElement)
        if (/auto|scroll|hidden/.test(getComputedStyle(up).overflowX)) return false;
    return true;
}).map(element => element.outerHTML.slice(0, 120))"""


def unfold(page):
    """Open what is folded, as a reader does with a click."""
    page.eval_on_selector_all("details", "all => all.forEach(each => { each.open = true; })")


def sideways(page):
    """Return by how many pixels a page is wider than its window, and what sticks out."""
    unfold(page)
    over = page.evaluate("document.scrollingElement.scrollWidth - innerWidth")
    return max(0, over), page.evaluate(OUTSIDE)


def violations(page):
    """Return what axe-core finds that is serious or critical: rule, its words, where."""
    from axe_playwright_python.sync_playwright import Axe

    unfold(page)
    found = Axe().run(page, options={"resultTypes": ["violations"]}).response["violations"]
    return [
        (rule["id"], rule["help"], [node["target"] for node in rule["nodes"]][:5])
        for rule in found
        if rule["impact"] in ("serious", "critical")
    ]


def luminance(page):
    """Return how light the ground of a page is, from 0 to 1."""
    colour = page.evaluate("getComputedStyle(document.body).backgroundColor")
    parts = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
    return sum(w * part for w, part in zip((0.2126, 0.7152, 0.0722), parts, strict=True))


def tip_lines(report, point):
    """Return what the tooltip of a point must say, from the report's document."""
    key = point.evaluate("e => e.closest('figure').id").removeprefix("figure-")
    (drawn,) = [figure for figure in report.document.figures if figure.key == key]
    return drawn.tips[int(point.get_attribute("data-i"))].text.splitlines()
