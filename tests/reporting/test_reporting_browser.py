"""The page as Chromium shows it: quiet, accessible, whole without scripts, on paper and on phones.

Every page that `visit` opens must also ask for no other file and complain of nothing.
"""

import gzip
import json
import re
from itertools import pairwise
from pathlib import Path

import pytest
from browser import FREE, NARROW, WIDE, Visits, luminance, sideways, tip_lines, unfold, violations

from scaling.reporting import Report
from scaling.reporting.document import Document, Listing, Note, Paragraph, Section, Table, Verdict

REPORTS = ["whole", "hostile", "many", "curve"]
LONG = "run-" + "abcdefghij" * 30
A4 = (718, 1000)  # in CSS pixels, without margins
WORDS = re.compile(r"\S+")
POINT = "figure use[data-i]"

CUT = """() => [...document.querySelectorAll("body *")].filter(element => {
    const style = getComputedStyle(element);
    if (style.display === "none" || element.closest("svg")) return false;
    return /auto|scroll|hidden|clip/.test(style.overflowY)
        && element.scrollHeight > element.clientHeight + 2;
}).map(element => element.outerHTML.slice(0, 120))"""
# Boxes that take room and show nothing.
HOLLOW = """() => [...document.querySelectorAll("body *")].filter(element => {
    if (element.closest("svg, math, td, th, table")) return false;
    const style = getComputedStyle(element), box = element.getBoundingClientRect();
    const room = box.height + parseFloat(style.marginTop) + parseFloat(style.marginBottom);
    return style.position !== "absolute" && style.position !== "fixed" && room > 4
        && box.width > 4 && !element.innerText.trim()
        && !element.querySelector("svg, math, img, hr, input, br");
}).map(element => element.outerHTML.slice(0, 120))"""
GAPS = """() => {
    const found = [];
    for (const parent of document.querySelectorAll("body, main, section, figure")) {
        const boxes = [...parent.children].map(e => [e, e.getBoundingClientRect()])
            .filter(([e, box]) => box.height)
            .filter(([e]) => !/absolute|fixed/.test(getComputedStyle(e).position))
            .sort((one, other) => one[1].top - other[1].top);
        let end = null;
        for (const [element, box] of boxes) {
            if (end !== null && box.top - end > 80) found.push(element.outerHTML.slice(0, 120));
            end = Math.max(end ?? box.bottom, box.bottom);
        }
    }
    return found;
}"""


def squeezed(text):
    return " ".join(WORDS.findall(text))


def shown(page):
    """Return the words on the page, without those in figures."""
    unfold(page)
    page.eval_on_selector_all(".level", "all => all.forEach(e => e.style.textTransform = 'none')")
    return squeezed(page.inner_text("body"))


@pytest.fixture(params=REPORTS)
def report(request):
    """Return each report in turn."""
    return request.getfixturevalue(request.param)


@pytest.fixture(params=[*REPORTS, "quickstart"])
def path(request, page_of):
    """Return the file of each report in turn, and one that is checked in."""
    if request.param == "quickstart":
        return request.getfixturevalue("quickstart")
    return page_of(request.getfixturevalue(request.param))


@pytest.fixture(params=["whole", "hostile", "many", "quickstart"], scope="module")
def still(request, page_of, browser):
    """Return the page of each report, opened once, for tests that only look."""
    found = request.getfixturevalue(request.param)
    visits = Visits(browser)
    page = visits(found if request.param == "quickstart" else page_of(found))
    unfold(page)
    yield page
    visits.close()


@pytest.fixture(params=["whole", "quickstart"])
def drawn(request, page_of):
    """Return the files of the reports with the most in them."""
    if request.param == "quickstart":
        return request.getfixturevalue("quickstart")
    return page_of(request.getfixturevalue(request.param))


# -------------------------------------------------------------------------------------- the harness


def test_strangers_and_complaints_are_seen(browser, tmp_path):
    page = tmp_path / "page.html"
    (tmp_path / "other.css").write_text("p {color: red}")
    page.write_text(
        '<link rel=stylesheet href=other.css><img src="http://evil.example/x.png">'
        "<script>fetch('https://evil.example/y'); console.error('odd'); alert('hi'); f()</script>"
    )
    visits = Visits(browser)
    opened = visits(page)
    opened.wait_for_load_state("networkidle")
    visits.close()
    names = {Path(url).name for url in opened.watch.strangers}
    assert names == {"other.css", "x.png", "y"}
    told = "\n".join(opened.watch.complaints)
    for word in ("error: odd", "dialog: hi", "f is not defined"):
        assert word in told


# -------------------------------------------------------------------------------------------- quiet


def test_it_asks_for_nothing_and_complains_of_nothing(path, visit):
    page = visit(path)
    for name in ("Tab", "Tab", "Enter", "Escape", "End", "Home"):
        page.keyboard.press(name)
    page.mouse.wheel(0, 3000)
    page.wait_for_load_state("networkidle")
    assert page.watch.strangers == []
    assert page.watch.complaints == []
    assert page.evaluate("performance.getEntriesByType('resource').map(e => e.name)") == []
    assert page.context.cookies() == []
    assert len(page.context.pages) == 1


def test_texts_of_users_run_nothing(hostile, page_of, visit, evil):
    page = visit(page_of(hostile))
    page.locator(POINT + "[tabindex='0']").first.focus()
    for _ in range(5):
        page.keyboard.press("ArrowRight")
    assert page.title() == evil["title"]
    assert page.locator("script:not([type])").count() == 1
    assert page.locator("iframe, img, object, embed, form, [onload], [onerror]").count() == 0
    assert page.locator("a[href^='javascript' i]").count() == 0


# ----------------------------------------------------------------------------------------- tooltips


def figures_with_points(page):
    return page.locator("figure:has(use[data-i])").all()


def test_the_mouse_shows_and_hides_the_run(whole, page_of, visit):
    page = visit(page_of(whole))
    tip = page.locator("#tip")
    assert tip.is_hidden()
    figures = figures_with_points(page)
    assert len(figures) >= 2
    for figure in figures:
        figure.scroll_into_view_if_needed()
        point = figure.locator("use[data-i]").nth(figure.evaluate(FREE))
        point.scroll_into_view_if_needed()
        box = point.bounding_box()
        page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        tip.wait_for(state="visible")
        said = tip.inner_text()
        assert [line for line in tip_lines(whole, point) if line not in said] == []
        place = tip.bounding_box()
        assert place["x"] >= 0
        assert place["y"] >= 0
        assert place["x"] + place["width"] <= WIDE[0]
        assert place["y"] + place["height"] <= WIDE[1]
        page.mouse.move(2, 2)
        tip.wait_for(state="hidden")


def test_focus_shows_the_run_and_its_loss_hides_it(whole, page_of, visit):
    page = visit(page_of(whole))
    tip = page.locator("#tip")
    figure = figures_with_points(page)[0]
    figure.scroll_into_view_if_needed()
    page.wait_for_timeout(200)
    point = figure.locator("use[data-i][tabindex='0']").first
    point.focus()
    tip.wait_for(state="visible")
    said = tip.inner_text()
    assert [line for line in tip_lines(whole, point) if line not in said] == []
    page.evaluate("document.activeElement.blur()")
    tip.wait_for(state="hidden")


def test_keys_outside_a_figure_scroll_the_page(whole, page_of, visit):
    page = visit(page_of(whole))
    page.keyboard.press("End")
    page.wait_for_timeout(300)
    assert page.evaluate("scrollY") > 500
    assert page.locator("use:focus").count() == 0


# --------------------------------------------------------------------------------------- no scripts


def cells(document):
    """Return every text of the tables, verdicts, figures and other blocks of a document."""
    for verdict in document.verdicts:
        yield from (verdict.level, verdict.headline, *(n.text for n in verdict.reasons))
    for section in document.sections:
        yield section.heading
    for block in document.blocks:
        for name in ("caption", "text", "good", "note"):
            yield getattr(block, name, "")
        for row in getattr(block, "rows", ()):
            yield from row


def test_everything_is_there_without_scripts(report, page_of, visit):
    page = visit(page_of(report), scripts=False)
    text = shown(page)
    wanted = {squeezed(cell) for cell in cells(report.document)}
    assert sorted(cell for cell in wanted if cell not in text) == []
    assert page.locator("table").count() >= sum(
        isinstance(b, Table) for b in report.document.blocks
    )
    for figure in page.locator("figure svg").all():
        box = figure.bounding_box()
        assert box["width"] > 300
        assert box["height"] > 150
    assert page.locator("#tip").is_hidden()


def test_downloads_work_without_scripts(whole, page_of, visit):
    page = visit(page_of(whole), scripts=False)
    unfold(page)
    links = page.locator("a[download]").all()
    assert len(links) >= len(whole.document.figures)
    for link in links:
        assert link.is_visible()
        with page.expect_download() as waiting:
            link.click()
        assert waiting.value.suggested_filename == link.get_attribute("download")
        text = Path(waiting.value.path()).read_bytes()
        text = gzip.decompress(text) if link.get_attribute("download").endswith(".gz") else text
        assert text.decode().count("\n") > 1


def test_no_empty_room_is_left(still):
    assert still.evaluate(HOLLOW) == []
    assert still.evaluate(GAPS) == []


def test_no_empty_room_is_left_without_scripts(path, visit):
    page = visit(path, scripts=False)
    unfold(page)
    assert page.evaluate(HOLLOW) == []
    assert page.evaluate(GAPS) == []


# --------------------------------------------------------------------------------------- accessible


@pytest.mark.parametrize("size", [WIDE, NARROW], ids=["wide", "narrow"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(whole, page_of, visit, scheme, size):
    assert violations(visit(page_of(whole), scheme=scheme, size=size)) == []


def test_axe_finds_nothing_serious_in_the_demo(quickstart, visit):
    assert violations(visit(quickstart, size=NARROW)) == []


def test_axe_finds_what_is_wrong(browser, tmp_path, visit):
    path = tmp_path / "page.html"
    path.write_text("<title>t</title><p style='color:#ccc'>pale<p><button></button>")
    found = {rule for rule, _, _ in violations(visit(path))}
    assert {"color-contrast", "button-name", "html-has-lang"} <= found


def test_the_system_chooses_between_light_and_dark(whole, page_of, visit):
    assert luminance(visit(page_of(whole))) > 0.9
    assert luminance(visit(page_of(whole), scheme="dark")) < 0.1


# ------------------------------------------------------------------------------------------- phones


def test_a_phone_never_scrolls_sideways(path, visit):
    page = visit(path, size=NARROW)
    assert page.evaluate("innerWidth") == NARROW[0]
    assert sideways(page) == (0, [])


def test_wide_tables_scroll_in_their_own_box(drawn, visit):
    page = visit(drawn, size=NARROW)
    unfold(page)
    boxes = page.evaluate(
        """() => [...document.querySelectorAll("table")].map(table => {
            const box = table.parentElement;
            box.scrollLeft = 60;
            return [table.offsetWidth, box.clientWidth, box.scrollLeft,
                    box.getBoundingClientRect().right, box.matches("[tabindex='0']")];
        })"""
    )
    wide = [box for box in boxes if box[0] > box[1] + 60]
    assert wide
    for _, _, moved, right, focusable in wide:
        assert moved == 60
        assert right <= NARROW[0]
        assert focusable


# -------------------------------------------------------------------------------------------- paper


def on_paper(visit, path):
    page = visit(path, size=A4)
    page.emulate_media(media="print")
    return page


def test_paper_has_nothing_to_click(path, visit):
    page = on_paper(visit, path)
    # The button in a column's head is its name, which stays.
    for selector in ("#tip", ".skip", "a[download]", "button:not(th button)", "input", "select"):
        assert [e for e in page.locator(selector).all() if e.is_visible()] == [], selector


def test_long_tables_are_not_cut_on_paper(path, visit):
    assert on_paper(visit, path).evaluate(CUT) == []


def test_paper_has_every_run(whole, page_of, visit, words_of_pdf, squeezed):
    made = visit(page_of(whole)).pdf(format="A4")
    text = squeezed(words_of_pdf(made))
    (runs,) = [b for b in whole.document.blocks if getattr(b, "caption", "") == "Every run"]
    column = runs.columns.index("N")
    assert len(runs.rows) == 30
    assert [row for row in runs.rows if squeezed(row[column]) not in text] == []
    for verdict in whole.document.verdicts:
        assert squeezed(verdict.headline) in text
    assert "data(CSV)" not in text


@pytest.mark.parametrize("media", ["screen", "print"])
@pytest.mark.parametrize("size", [NARROW, A4], ids=["phone", "paper"])
def test_words_of_300_letters_do_not_widen_the_page(tmp_path, visit, size, media):
    table = Table(LONG, (LONG, "b"), ((LONG, LONG), ("1", LONG)), ("left", "right"), note=LONG)
    blocks = (Paragraph(LONG), Note("SC900", "warning", LONG), table, Listing(LONG, LONG))
    verdict = Verdict("weak", LONG, LONG, LONG, (Note("SC900", "warning", LONG),))
    made = Document(LONG, LONG, LONG, (verdict,), (Section(LONG, blocks),), footer=LONG)
    path = tmp_path / "page.html"
    path.write_text(Report(made).html(), encoding="utf-8")
    page = visit(path, size=size)
    page.emulate_media(media=media)
    assert sideways(page) == (0, [])


def test_nothing_is_cut_at_the_right_edge_of_paper(whole, page_of, quickstart, visit):
    for path in (page_of(whole), quickstart):
        page = visit(path, size=A4)
        page.emulate_media(media="print")
        cut = page.evaluate(
            """() => [...document.querySelectorAll("body *")].filter(e => !e.closest("svg")
                && /auto|scroll|hidden|clip/.test(getComputedStyle(e).overflowX)
                && e.scrollWidth > e.clientWidth + 2).map(e => e.outerHTML.slice(0, 120))"""
        )
        assert cut == []


# ---------------------------------------------------------------------------------------- structure


def test_links_have_targets_and_ids_are_unique(still):
    ids = still.eval_on_selector_all("[id]", "all => all.map(each => each.id)")
    assert len(ids) == len(set(ids))
    assert not [i for i in ids if not i or re.search(r"\s", i)]
    links = still.eval_on_selector_all(
        "a[href^='#'], use", "all => all.map(e => e.href.baseVal ?? e.getAttribute('href'))"
    )
    assert links
    assert {link[1:] for link in links} - set(ids) == set()
    named = still.eval_on_selector_all(
        "[aria-labelledby], [aria-describedby], [aria-controls], label[for]",
        """all => all.flatMap(e => ["aria-labelledby", "aria-describedby", "aria-controls", "for"]
            .flatMap(name => (e.getAttribute(name) ?? "").split(/\\s+/)).filter(Boolean))""",
    )
    assert set(named) - set(ids) == set()


def test_headings_follow_one_another(still):
    levels = still.eval_on_selector_all(
        "h1, h2, h3, h4, h5, h6", "all => all.map(each => +each.tagName[1])"
    )
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(b <= a + 1 for a, b in pairwise(levels))
    assert all(h.inner_text().strip() for h in still.locator("h1, h2, h3").all())


def test_figures_and_tables_can_be_heard(still):
    figures = still.locator("figure svg")
    heard = figures.evaluate_all(
        """all => all.map(svg => [svg.getAttribute("role"), !!svg.querySelector("use[data-i]"),
            svg.querySelector(":scope > title")?.textContent ?? "",
            svg.querySelector(":scope > desc")?.textContent ?? ""])"""
    )
    assert heard
    for role, points, title, description in heard:
        assert role == ("group" if points else "img")  # what stands in an image is not heard
        assert title.strip()
        assert len(description) > 20
    assert still.locator("th").count() > 10
    assert still.locator("th:not([scope='col'], [scope='row'])").count() == 0


def test_the_skip_link_appears_and_leads_to_the_answer(whole, page_of, visit):
    page = visit(page_of(whole))
    page.keyboard.press("Tab")
    skip = page.locator(".skip")
    assert skip.evaluate("e => e === document.activeElement")
    assert skip.bounding_box()["x"] >= 0
    page.keyboard.press("Enter")
    assert page.evaluate("location.hash") == "#answer"
    assert json.loads(page.evaluate("JSON.stringify(localStorage)")) == {}


def test_names_of_regions_differ(still):
    names = still.eval_on_selector_all(
        "[role='region'], section[aria-label], nav[aria-label]",
        "all => all.map(each => each.getAttribute('aria-label'))",
    )
    assert len(names) > 10
    assert len(names) == len(set(names))


def test_more_than_three_answers_are_folded(many, page_of, visit):
    assert len(many.document.verdicts) == 4
    page = visit(page_of(many))
    last = page.locator("section.verdict").last
    assert page.locator("section.verdict").count() == 4
    assert last.is_hidden()
    page.locator("summary", has_text="1 more answer").click()
    assert last.is_visible()


def test_paper_has_the_folded_answers(many, page_of, visit, words_of_pdf, squeezed):
    for scripts in (True, False):
        made = visit(page_of(many), scripts=scripts).pdf(format="A4")
        text = squeezed(words_of_pdf(made))
        assert all(squeezed(verdict.subject) in text for verdict in many.document.verdicts)
        assert text.count(squeezed("Why not to trust it:")) == 4
