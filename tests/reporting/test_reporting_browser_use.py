"""What a reader does with the page: points, rows, sorting, filters, light and dark.

The tests hold to roles, names and these few marks: points are ``figure use[data-i]``, the tooltip
is ``#tip``, the row of a run is ``tr[id^="run-"]``, and the run table is the table that has one.
"""

import re

import pytest
from browser import FREE, luminance, tip_lines, violations

RAISED = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻−", "0123456789--")
RUNS = "table:has(tr[id^='run-'])"
FOCUSED = "use[data-i]:focus"


@pytest.fixture
def page(whole, page_of, visit):
    """Return the page of the whole report."""
    return visit(page_of(whole))


@pytest.fixture
def figure(page):
    """Return the first figure with points, in view, with its first point in focus."""
    found = page.locator("figure:has(use[data-i])").first
    found.scroll_into_view_if_needed()
    found.locator("use[data-i][tabindex='0']").first.focus()
    return found


@pytest.fixture
def tip(page):
    """Return the tooltip."""
    return page.locator("#tip")


def place(figure):
    """Return which point of a figure is in focus, in the order of drawing."""
    return figure.evaluate(
        "f => [...f.querySelectorAll('use[data-i]')].indexOf(document.activeElement)"
    )


def reach(page, figure, count):
    """Go to a point by keyboard."""
    figure.locator("use[data-i][tabindex='0']").focus()
    for _ in range(count):
        page.keyboard.press("ArrowRight")
    assert place(figure) == count


# ------------------------------------------------------------------------------------- the keyboard


def test_tab_shows_the_run_even_if_the_page_scrolls_to_it(page, tip, whole):
    for _ in range(400):  # the run table alone may have a link a row
        page.keyboard.press("Tab")
        if page.locator(FOCUSED).count():
            break
    page.wait_for_timeout(300)
    assert tip.is_visible()
    said = tip.inner_text()
    assert [line for line in tip_lines(whole, page.locator(FOCUSED)) if line not in said] == []


def test_escape_hides_the_run_and_keeps_the_place(page, figure, tip):
    tip.wait_for(state="visible")
    before = place(figure)
    page.keyboard.press("Escape")
    tip.wait_for(state="hidden")
    assert place(figure) == before
    page.keyboard.press("ArrowRight")
    tip.wait_for(state="visible")


def test_escape_hides_the_run_under_the_mouse(page, tip):
    figure = page.locator("figure:has(use[data-i])").first
    figure.scroll_into_view_if_needed()
    figure.locator("use[data-i]").nth(figure.evaluate(FREE)).hover(force=True)
    tip.wait_for(state="visible")
    page.keyboard.press("Escape")
    tip.wait_for(state="hidden")


def test_a_figure_is_one_stop(page, figure):
    for each in page.locator("figure:has(use[data-i])").all():
        assert each.locator("use[data-i]").count() > 5
        assert each.locator("use[data-i][tabindex='0']").count() == 1
    page.keyboard.press("Tab")
    assert place(figure) == -1
    page.keyboard.press("Shift+Tab")
    assert place(figure) >= 0


def test_arrows_reach_every_point_once(page, figure, tip):
    count = figure.locator("use[data-i]").count()
    page.keyboard.press("End")
    last = place(figure)
    page.keyboard.press("Home")
    seen = [place(figure)]
    for _ in range(count - 1):
        page.keyboard.press("ArrowRight")
        seen.append(place(figure))
        assert figure.locator("use[data-i][tabindex='0']").count() == 1
    assert sorted(seen) == list(range(count))
    assert seen[-1] == last
    assert tip.is_visible()
    page.keyboard.press("ArrowLeft")
    assert place(figure) == seen[-2]


def test_a_figure_remembers_its_place(page, figure):
    start = place(figure)
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    there = place(figure)
    assert there not in (-1, start)
    page.keyboard.press("Tab")
    page.keyboard.press("Shift+Tab")
    assert place(figure) == there


# -------------------------------------------------------------------------------- from point to row


def jumped(page, name):
    """Return the row that the page jumped to, after checks that a reader can see it."""
    page.wait_for_function("location.hash.startsWith('#run-')")
    row = page.locator("tr:target")
    assert row.count() == 1
    assert name in [cell.inner_text().strip() for cell in row.locator("td, th").all()]
    page.wait_for_timeout(300)
    assert row.evaluate(
        """row => {
            const box = row.getBoundingClientRect();
            const hit = document.elementFromPoint(box.x + 30, box.y + box.height / 2);
            return box.top >= 0 && box.bottom <= innerHeight && row.contains(hit);
        }"""
    )
    ground = """row => getComputedStyle(row).backgroundColor
        + getComputedStyle(row.cells[1]).backgroundColor"""
    other = page.locator("tr[id^='run-']:not(:target)").first
    assert row.evaluate(ground) != other.evaluate(ground)
    return row


@pytest.mark.parametrize("way", ["Enter", "click"])
def test_a_point_leads_to_its_run_and_the_run_back(page, whole, way):
    figure = page.locator("figure:has(use[data-i])").first
    figure.scroll_into_view_if_needed()
    point = figure.locator("use[data-i]").nth(4)
    name = tip_lines(whole, point)[0]
    if way == "Enter":
        reach(page, figure, 4)
        page.keyboard.press("Enter")
    else:
        point.click(force=True)
    row = jumped(page, name)
    row.locator("a[href^='#']").first.click()
    home = page.evaluate("location.hash").removeprefix("#")
    assert page.evaluate("id => !!document.getElementById(id).closest('figure')", home)
    page.go_back()
    page.wait_for_function("location.hash.startsWith('#run-')")


def test_a_link_to_a_run_works_from_outside(whole, page_of, visit):
    first = visit(page_of(whole)).locator("tr[id^='run-']").nth(20)
    name = first.get_attribute("id")
    page = visit(page_of(whole), anchor=f"#{name}")
    row = page.locator("tr:target")
    assert row.get_attribute("id") == name
    assert row.evaluate("e => e.getBoundingClientRect().top < innerHeight")


def test_a_link_to_a_run_works_without_scripts(whole, page_of, visit):
    page = visit(page_of(whole), scripts=False)
    names = [row.get_attribute("id") for row in page.locator("tr[id^='run-']").all()]
    assert len(names) == 30
    for link in page.locator("a[href^='#run-']").all():
        assert link.get_attribute("href").removeprefix("#") in names


# ------------------------------------------------------------------------------------------ sorting


def number(text):
    """Read a number as reports write it; nothing where there is none."""
    found = re.fullmatch(r"([+-]?[\d,.]+)(?:×10(-?\d+))?%?", text.strip().translate(RAISED))
    if found is None:
        return None
    return float(found[1].replace(",", "")) * 10.0 ** int(found[2] or 0)


def column(table, name):
    """Return what stands in the visible cells of a column, from top to bottom."""
    return table.evaluate(
        """(table, name) => {
            const heads = [...table.tHead.rows[0].cells].map(e => e.innerText.trim());
            const at = heads.findIndex(e => e === name || e.startsWith(name + " "));
            return [...table.tBodies[0].rows].filter(row => row.getClientRects().length)
                .map(row => row.cells[at].innerText.trim());
        }""",
        name,
    )


def head(table, name):
    """Return the head of a column."""
    button = table.page.get_by_role("button", name=re.compile(rf"^{name}\b"))
    return table.locator("thead th", has=button)


def test_a_press_sorts_by_value_and_another_reverses(page):
    for name in ("N", "D", "loss", "residual", "budget"):
        check_sorting(page, name)


def check_sorting(page, name):
    table = page.locator(RUNS).first
    before = column(table, name)
    assert len(before) == 30
    button = head(table, name).get_by_role("button")
    for press, order, turn in (("click", "ascending", 1), ("Enter", "descending", -1)):
        if press == "click":
            button.click()
        else:
            button.focus()
            page.keyboard.press(press)
        assert head(table, name).get_attribute("aria-sort") == order
        assert table.locator("th[aria-sort]:not([aria-sort='none'])").count() == 1
        after = column(table, name)
        assert sorted(after) == sorted(before)
        values = [number(text) for text in after]
        known = [value for value in values if value is not None]
        assert len(known) >= 29
        assert None not in values[: len(known)]  # what is missing stands last, either way
        assert known == sorted(known, reverse=turn < 0)


def test_space_sorts_texts(page):
    table = page.locator(RUNS).first
    head(table, "run").get_by_role("button").focus()
    page.keyboard.press("Space")
    names = column(table, "run")
    assert names[0] == "bad"
    assert {"r0-2", "r0-10"} <= set(names)
    head(table, "status").get_by_role("button").click()
    assert column(table, "status")[:2] == ["diverged", "done"]
    assert head(table, "run").get_attribute("aria-sort") in (None, "none")


def test_rows_keep_their_cells_when_sorted(page, whole):
    table = page.locator(RUNS).first
    head(table, "loss").get_by_role("button").click()
    (runs,) = [b for b in whole.document.blocks if getattr(b, "caption", "") == "Every run"]
    wanted = {row[runs.columns.index("run")]: row[runs.columns.index("loss")] for row in runs.rows}
    found = dict(zip(column(table, "run"), column(table, "loss"), strict=True))
    assert found == {name: loss.strip() for name, loss in wanted.items()}


# ---------------------------------------------------------------------------------------- filtering


def box(table, name):
    """Return the box that filters a column, which its label names."""
    return table.get_by_label(re.compile(rf"\b{name}\b", re.IGNORECASE)).locator("visible=true")


def told(page):
    """Return the live count of rows."""
    live = page.locator("[aria-live]:not(#tip), [role='status']:not(#tip), output")
    words = " ".join(live.all_inner_texts())
    found = re.search(r"(\d+) of (\d+) rows", words)
    assert found, words
    return int(found[1]), int(found[2])


KEPT = {
    ">1e9": lambda n: n > 1e9,
    "<1e8": lambda n: n < 1e8,
    "1e8..1e9": lambda n: 1e8 <= n <= 1e9,
    "1e9..": lambda n: n >= 1e9,
    "..1e8": lambda n: n <= 1e8,
    "  > 1e9 ": lambda n: n > 1e9,
}


def test_numbers_narrow_the_rows(page):
    for text, keep in KEPT.items():
        check_filter(page, text, keep)


def check_filter(page, text, keep):
    table = page.locator(RUNS).first
    every = [number(n) for n in column(table, "N")]
    wanted = [n for n in every if n is not None and keep(n)]
    assert 0 < len(wanted) < len(every)
    box(table, "N").fill(text)
    assert [number(n) for n in column(table, "N")] == wanted
    assert told(page) == (len(wanted), 30)
    box(table, "N").fill("")
    assert len(column(table, "N")) == 30


def test_texts_narrow_the_rows_and_columns_join(page):
    table = page.locator(RUNS).first
    box(table, "run").fill("R0-1")
    names = column(table, "run")
    assert len(names) == 11
    assert all("r0-1" in name for name in names)
    box(table, "budget").fill(">5e19")
    assert 0 < len(column(table, "run")) < 11
    box(table, "run").fill("no such run")
    assert column(table, "run") == []
    assert told(page) == (0, 30)


def test_half_a_filter_hides_nothing(page):
    table = page.locator(RUNS).first
    for text in (">", "<", ">=", "..", ">abc", "<script>"):
        box(table, "N").fill(text)
        assert len(column(table, "N")) == 30


def test_a_jump_shows_a_row_that_a_filter_hid(page, whole):
    box(page.locator(RUNS).first, "run").fill("no such run")
    figure = page.locator("figure:has(use[data-i])").first
    name = tip_lines(whole, figure.locator("use[data-i]").nth(4))[0]
    reach(page, figure, 4)
    page.keyboard.press("Enter")
    jumped(page, name)


def test_paper_has_every_run_whatever_is_filtered(page):
    table = page.locator(RUNS).first
    box(table, "run").fill("no such run")
    page.emulate_media(media="print")
    assert len(column(table, "N")) == 30


# ----------------------------------------------------------------------------------- light and dark


def choose(page, name):
    """Press the one button that goes through the schemes until it says `name`."""
    button = page.get_by_role("button", name=re.compile("^colours: "))
    for _ in range(3):
        if button.inner_text() == f"colours: {name}":
            return
        button.click()
    raise AssertionError(f"no {name}")


@pytest.mark.parametrize("system", ["light", "dark"])
def test_a_reader_can_choose_light_or_dark(whole, page_of, visit, system):
    page = visit(page_of(whole), scheme=system)
    own = luminance(page)
    assert (own > 0.9) == (system == "light")
    choose(page, "dark")
    assert luminance(page) < 0.1
    assert system == "dark" or violations(page) == []
    choose(page, "light")
    assert luminance(page) > 0.9
    assert system == "light" or violations(page) == []
    choose(page, "auto")
    assert luminance(page) == own
    choose(page, "light" if system == "dark" else "dark")
    assert page.evaluate("localStorage.length + sessionStorage.length") == 0
    assert page.context.cookies() == []
    page.reload()
    assert luminance(page) == own


def test_controls_exist_with_scripts_alone(whole, page_of, visit):
    controls = "button, input, select, [role='button'], [role='radio'], [aria-sort]"
    with_scripts = visit(page_of(whole)).locator(controls).locator("visible=true")
    without = visit(page_of(whole), scripts=False).locator(controls).locator("visible=true")
    assert with_scripts.count() >= 3 + 10 + 10
    assert without.count() == 0
