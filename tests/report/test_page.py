"""report.html in a real browser: it needs nothing, shows what was measured, and everyone can read it."""

import itertools
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from mtl_edge.profile.results import Profile
from mtl_edge.quantize.damage import DamageMatrix
from mtl_edge.report.document import RunReport
from mtl_edge.report.html import Additions, run_to_html
from mtl_edge.report.methods import methods_table
from mtl_edge.report.table import comparison

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

DESKTOP, PHONE = 1280, 390

_LOW_CONTRAST = """
const luminance = (rgb) => rgb.map((c) => (c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
  .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
const canvas = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
const over = (colours) => {
  canvas.clearRect(0, 0, 1, 1);
  for (const colour of colours) { canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1); }
  return [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3);
};
const grounds = (element) => {
  const found = [];
  for (let e = element; e; e = e.parentElement) found.unshift(getComputedStyle(e).backgroundColor);
  return found;
};
const bad = [];
for (const element of document.querySelectorAll("body *")) {
  const text = [...element.childNodes].filter((n) => n.nodeType === 3).map((n) => n.data.trim()).join("");
  if (!text || !element.checkVisibility() || element.closest("script, style")) continue;
  const style = getComputedStyle(element);
  const colour = element.closest("svg") ? style.fill : style.color;
  const back = grounds(element);
  const [a, b] = [luminance(over([...back, colour])), luminance(over(back))].sort((x, y) => y - x);
  const ratio = (a + 0.05) / (b + 0.05);
  if (ratio < 4.5) bad.push(`${element.tagName} ${text.slice(0, 30)}: ${ratio.toFixed(2)}`);
}
return bad;
"""


class Page:
    """The page, open in the browser."""

    def __init__(self, browser: "Chrome", path: Path) -> None:
        self.browser = browser
        self.path = path

    def open(self, *, width: int = DESKTOP, scheme: str = "light", medium: str = "screen") -> None:
        """Load it anew, as wide as this, with the colours that the system prefers."""
        self._do("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=width < 500)
        feature = {"name": "prefers-color-scheme", "value": scheme}
        self._do("Emulation.setEmulatedMedia", media=medium, features=[feature])
        self.browser.get(self.path.as_uri())

    def ask(self, script: str, *arguments: Any) -> Any:
        """What a script in the page returns."""
        return self.browser.execute_script(script, *arguments)  # type: ignore[no-untyped-call]

    def press(self, *keys: str) -> None:
        """Press keys where the focus is."""
        from selenium.webdriver import ActionChains
        from selenium.webdriver.common.keys import Keys

        for key in keys:
            ActionChains(self.browser).send_keys(getattr(Keys, key)).perform()

    def _do(self, command: str, **arguments: Any) -> None:
        self.browser.execute_cdp_cmd(command, arguments)  # type: ignore[no-untyped-call]


@pytest.fixture(scope="module")
def path(finished: RunReport, damage: DamageMatrix, profile: Profile, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a whole run with everything that a report can have."""
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(run_to_html(finished, Additions(damage=damage, profiles=(profile,))), encoding="utf-8")
    return path


@pytest.fixture
def page(browser: "Chrome", path: Path) -> Page:
    """The same, open on a desktop."""
    opened = Page(browser, path)
    browser.get_log("performance")  # type: ignore[no-untyped-call]
    opened.open()
    return opened


def test_it_asks_for_nothing_and_complains_of_nothing(page: Page) -> None:
    """The page itself is all that is ever requested, and the console stays empty."""
    events = [json.loads(entry["message"])["message"] for entry in page.browser.get_log("performance")]  # type: ignore[no-untyped-call]
    sent = [event["params"]["request"]["url"] for event in events if event["method"] == "Network.requestWillBeSent"]
    assert [url for url in sent if not url.startswith("data:")] == [page.path.as_uri()]
    assert page.browser.get_log("browser") == []  # type: ignore[no-untyped-call]


def test_names_are_text_and_never_markup(browser: "Chrome", finished: RunReport, tmp_path: Path) -> None:
    """A model's name that looks like markup is shown as it is, in tables, in pictures and in what hovering tells."""
    name = """<img src=x onerror="document.title='broken'">&'"""
    first, *others = finished.benchmark.results
    results = (first, msgspec.structs.replace(others[0], name=name), *others[1:])
    benchmark = msgspec.structs.replace(finished.benchmark, results=results)
    path = tmp_path / "report.html"
    path.write_text(run_to_html(msgspec.structs.replace(finished, benchmark=benchmark)), encoding="utf-8")
    opened = Page(browser, path)
    opened.open()
    assert opened.ask("return document.title") == "pairs: report"
    assert opened.ask("return document.images.length") == 0
    assert name in opened.ask("return document.querySelector('[aria-label=\"What it costs\"]').innerText")
    label = "return [...document.querySelectorAll('.by-latency [aria-label]')].map((mark) => mark.ariaLabel).join()"
    assert name in opened.ask(label)


def test_it_says_how_far_pruning_came_and_what_ended_it(path: Path) -> None:
    """The table of its steps, why there was no further one, and which budget is less than the noise."""
    text = path.read_text(encoding="utf-8")
    assert "<h3>pruned, step by step</h3>" in text
    assert "Pruning ended after step 1 of 3, the last one within all budgets: in step 2, left lost 0.90 of its" in text
    assert "the budget of right, 0.5 pt, is less than the noise of 400 test samples" in text


def test_it_is_small(page: Page) -> None:
    """No script library travels along."""
    assert page.path.stat().st_size < 400_000


def test_the_figures_are_those_of_the_json(page: Page, finished: RunReport) -> None:
    """Every cell of the tables, as the page shows it, follows from report.json; and CSV holds the same values."""
    read = """
    const table = document.querySelector(`[aria-label="${arguments[0]}"] table`);
    return [...table.tBodies[0].rows].map((row) => [...row.cells].map((cell) => cell.innerText));
    """
    benchmark = finished.benchmark
    methods = methods_table(benchmark)
    assert methods is not None
    *_, costs = comparison(benchmark)
    for table in (methods, costs):
        shown = page.ask(read, table.title)
        assert len(shown) == len(table.rows) > 0
        for cells, row in zip(shown, table.rows, strict=True):
            for text, cell in zip(cells, row, strict=True):
                assert text.split("\n")[0].split(" chosen")[0].strip() == cell.value
                assert all(line in text for line in cell.note.split("\n"))
    rows = page.ask(read, "Task by task")
    dense = benchmark.base_result.metrics
    assert dense is not None
    assert rows[0][2] == f"{100 * dense['left']['accuracy']:.2f} %"
    csv = page.ask("return atob(document.querySelector('[download]').href.split(',')[1])")
    assert f"dense,accuracy,left,,,{dense['left']['accuracy']},share,1.0\n" in csv


def test_budgets_are_judged_and_the_fastest_within_them_is_chosen(page: Page) -> None:
    """A missed budget says so; the faster model that missed it is not the chosen one."""
    chosen = page.ask(
        "return [...document.querySelectorAll('.frontier .legend .model:has(.badge)')].map((m) => m.innerText)"
    )
    assert [text.replace("\n", " ").split()[0] for text in chosen] == ["pruned"]
    missed = page.ask(
        "return [...document.querySelectorAll('[aria-label=\"Task by task\"] td.bad')].map((c) => c.innerText)"
    )
    assert len(missed) == 1
    assert "MISSES 0.5 pt" in missed[0]
    assert "pruned" in page.ask("return document.querySelector('.headline').innerText")


def test_tables_sort_by_keyboard(page: Page) -> None:
    """Enter on a column's head sorts, and turns the order round; rows that sum up stay below."""
    column = """
    const table = document.querySelector('[aria-label="What it costs"] table');
    const head = table.tHead.rows[0].cells[1];
    return [head.ariaSort, [...table.tBodies[0].rows].map((row) => Number(row.cells[1].dataset.sort))];
    """
    page.ask("document.querySelector('[aria-label=\"What it costs\"] th:nth-child(2) button').focus()")
    page.press("ENTER")
    order, values = page.ask(column)
    assert order == "ascending"
    assert values == sorted(values)
    page.press("ENTER")
    order, values = page.ask(column)
    assert order == "descending"
    assert values == sorted(values, reverse=True)
    page.ask("document.querySelector('[aria-label=\"Task by task\"] th:nth-child(5) button').focus()")
    page.press("SPACE")
    last = "return document.querySelector('[aria-label=\"Task by task\"] table').lastElementChild.tagName"
    assert page.ask(last) == "TFOOT"


def test_pictures_tell_their_values_by_pointer_and_by_keyboard(page: Page) -> None:
    """Arrow keys walk from mark to mark in a picture that has the focus; Escape ends it."""
    from selenium.webdriver import ActionChains
    from selenium.webdriver.common.by import By

    tip = "const tip = document.getElementById('tip'); return tip.hidden ? null : tip.textContent"
    page.ask("document.querySelector('.by-latency .chart').focus()")
    assert page.ask(tip) is None
    seen = []
    for _ in range(4):
        page.press("ARROW_RIGHT")
        seen.append(page.ask(tip))
    assert [text.split(":")[0] for text in seen] == ["dense", "dense-int8", "pruned", "pruned-int8"]
    assert "accuracy 96.86 %" in seen[0]
    page.press("ESCAPE")
    assert page.ask(tip) is None
    mark = page.browser.find_element(By.CSS_SELECTOR, '.by-latency .chart [aria-label^="pruned:"]')
    page.ask("arguments[0].scrollIntoView({ block: 'center', behavior: 'instant' })", mark)
    ActionChains(page.browser).move_to_element(mark).perform()
    assert page.ask(tip).startswith("pruned: accuracy 97.04 %")


def test_the_frontier_changes_its_axis_by_keyboard(page: Page) -> None:
    """Latency, size and memory are radio buttons."""
    shown = """
    return [...document.querySelectorAll('.frontier figure')].filter((figure) => figure.checkVisibility())
      .map((figure) => figure.className);
    """
    assert page.ask(shown) == ["by-latency"] * 3
    page.ask("document.getElementById('by-latency').focus()")
    page.press("ARROW_RIGHT")
    assert page.ask(shown) == ["by-size"] * 3
    page.press("ARROW_RIGHT")
    assert page.ask(shown) == ["by-memory"] * 3


@pytest.mark.parametrize("width", [PHONE, DESKTOP])
def test_the_page_is_never_wider_than_the_screen(page: Page, width: int) -> None:
    """Wide tables scroll within themselves; text and pictures do not."""
    page.open(width=width)
    assert page.ask("return document.documentElement.scrollWidth") <= width
    beyond = page.ask(
        """
        return [...document.querySelectorAll('main svg, p, h1, h2, h3, pre, dl')]
          .filter((e) => e.checkVisibility() && !e.closest('.wide') && e.getBoundingClientRect().right > innerWidth + 1)
          .map((e) => e.outerHTML.slice(0, 80));
        """
    )
    assert beyond == []
    small = page.ask(
        "return [...document.querySelectorAll('body *')].filter((e) => e.checkVisibility() && e.textContent.trim() && "
        "parseFloat(getComputedStyle(e).fontSize) < 11).map((e) => e.outerHTML.slice(0, 80))"
    )
    assert small == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_text_stands_out_from_what_is_behind_it(page: Page, scheme: str) -> None:
    """A contrast of 4.5 to 1 at least (WCAG 2.2, AA), in the tables' tinted cells and in pictures too."""
    page.open(scheme=scheme)
    ground = page.ask("return getComputedStyle(document.body).backgroundColor")
    assert (ground == "rgb(255, 255, 255)") == (scheme == "light")
    assert page.ask(_LOW_CONTRAST) == []


def test_the_reader_can_choose_light_or_dark(page: Page) -> None:
    """The button goes from what the system prefers to light and to dark, whatever it prefers."""
    ground = "return getComputedStyle(document.body).backgroundColor"
    light = page.ask(ground)
    page.ask("document.getElementById('theme').focus()")
    page.press("ENTER", "ENTER")
    assert page.ask("return document.getElementById('theme').textContent") == "theme: dark"
    assert page.ask(ground) != light
    page.press("ENTER")
    assert page.ask(ground) == light


def test_everything_that_can_be_focused_has_a_name(page: Page) -> None:
    """A reader that is told of what has the focus is told something."""
    nameless = page.ask(
        "return [...document.querySelectorAll('button, a, input, [tabindex]')].filter((e) => !(e.ariaLabel || "
        "e.textContent.trim() || e.labels?.length)).map((e) => e.outerHTML.slice(0, 80))"
    )
    assert nameless == []
    levels = page.ask("return [...document.querySelectorAll('h1, h2, h3')].map((h) => Number(h.tagName[1]))")
    assert levels[0] == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))


def test_on_paper_there_is_nothing_to_press(page: Page) -> None:
    """Buttons and links to sections go, and details are open."""
    page.open(medium="print", scheme="dark")
    page.ask("dispatchEvent(new Event('beforeprint'))")
    seen = page.ask(
        "return ['nav', '#theme', '.choice'].filter((name) => document.querySelector(name).checkVisibility())"
    )
    assert seen == []
    assert page.ask("return [...document.querySelectorAll('details')].every((block) => block.open)")
    assert page.ask("return getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
