"""A person's path through the page in a headless browser: upload, plan, import, promote. Skips where there is no Chromium."""

from __future__ import annotations

import os
import shutil
import threading
import time

import numpy as np
import pandas as pd
import pytest

from tests.builders import SCHEMA
from transfercast.core.table import INDEX, FeatureTable, Provenance, TargetFacts

uvicorn = pytest.importorskip("uvicorn")
app = pytest.importorskip("transfercast.service.app")
# In place of `from playwright ...`: elsewhere these tests skip.
playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

expect = playwright.expect
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
KEY = "a key"
SORT = """() => {
  const head = [...document.querySelectorAll("th button")].find((one) => one.textContent === "score");
  const started = performance.now();
  head.click();
  document.body.offsetHeight;  // has the browser lay the table out
  return performance.now() - started;
}"""

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed: apt-get install chromium")


@pytest.fixture(scope="module")
def folder(taught, tmp_path_factory):
    """What was taught, and a table of a thousand candidates."""
    folder = shutil.copytree(taught, tmp_path_factory.mktemp("browser") / "folder")
    index = pd.MultiIndex.from_tuples([(f"many{n}", f"t{n % 4}", "full") for n in range(1_000)], names=INDEX)
    values = np.random.default_rng(0).uniform(size=(1_000, len(SCHEMA)))
    facts = {f"t{n}": TargetFacts(fingerprint="", metric="positive_f1", train_rows=10, score=0.5) for n in range(4)}
    frame = pd.DataFrame(values, index=index, columns=[column.name for column in SCHEMA])
    FeatureTable(frame, SCHEMA, Provenance(targets=facts, encoder="e")).save(folder / "large.parquet")
    return folder


@pytest.fixture(scope="module")
def address(folder):
    """Where the service listens, with a key, as beyond loopback."""
    service = app.create_app(folder / "meta", KEY, str(folder / "history.db"), folder=folder)
    server = uvicorn.Server(uvicorn.Config(service, port=0, log_level="error", ws="none"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    deadline = time.monotonic() + 60
    while not server.started and time.monotonic() < deadline:
        time.sleep(0.05)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join(20)


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"] if os.geteuid() == 0 else [])
        yield started
        started.close()


@pytest.fixture
def page(browser, address):
    """A page on which somebody has logged in; whatever the console says, and any other host, fails the test."""
    context = browser.new_context(viewport={"width": 1100, "height": 800})
    opened = context.new_page()
    opened.set_default_timeout(30_000)
    told, hosts = [], set()
    opened.on("console", lambda message: told.append(message.text))
    opened.on("pageerror", lambda error: told.append(str(error)))
    opened.on("request", lambda request: hosts.add(request.url.split("/")[2]))
    opened.goto(address)
    opened.fill("#key", KEY)
    opened.keyboard.press("Enter")
    opened.wait_for_selector("#budget")
    yield opened
    refused = "Failed to load resource: the server responded with a status of 4"  # the browser says so of every refusal
    assert [text for text in told if not text.startswith(refused)] == []
    assert hosts == {address.removeprefix("http://")}
    context.close()


def rows(page):
    return page.locator("main tbody tr:not(.whyrow)")


def test_a_wrong_key_is_told_and_asked_for_again(browser, address):
    context = browser.new_context()
    page = context.new_page()
    page.goto(address)
    page.fill("#key", "wrong")
    page.keyboard.press("Enter")
    page.get_by_text("This key is wrong").wait_for()
    assert page.locator("tbody").count() == 0
    context.close()


def test_from_an_uploaded_table_to_a_plan_to_a_promoted_version(page, folder, address):
    page.set_input_files("#upload", folder / "features.parquet")
    page.get_by_text("Stop after step").wait_for()
    expect(rows(page)).to_have_count(6)  # the target alone, and five sources
    page.locator("#budget").focus()
    page.keyboard.press("Home")  # a budget of one, by the keyboard
    page.get_by_text("1 transfers").wait_for()
    expect(rows(page)).to_have_count(2)
    page.get_by_label("Order of trainings").locator("button[aria-expanded]").first.click()
    page.locator(".whyrow:visible").get_by_text("in score units").wait_for()
    page.click("text=Predictor >> visible=true")
    page.get_by_text("was in force").wait_for()
    before = page.locator("#version").inner_text()
    page.get_by_role("button", name="Promote").click()
    page.get_by_text("is in force.").wait_for()
    expect(page.locator("#version")).not_to_have_text(before)
    page.get_by_role("button", name="Roll back").click()
    expect(page.locator("#version")).to_have_text(before)


def test_encoders_have_a_column_where_there_are_several(page):
    heads = page.get_by_label("Order of trainings").locator("thead th")
    page.select_option("#pick", "features.parquet")
    page.get_by_text("Stop after step").wait_for()
    assert "encoder" not in heads.all_inner_texts()
    page.select_option("#pick", "two.parquet")
    heads.get_by_text("encoder").wait_for()
    cells = page.get_by_label("Order of trainings").locator("tbody tr:not(.whyrow)").all_inner_texts()
    alone = [cell.split("\t") for cell in cells if "(alone)" in cell]
    assert sorted(cell[2] for cell in alone) == ["e", "f"]


def test_a_plan_of_a_thousand_rows_sorts_and_filters_without_a_visible_wait(page):
    page.select_option("#pick", "large.parquet")
    page.locator("#budget").evaluate("one => { one.max = 1000; one.value = 1000; one.dispatchEvent(new Event('change')) }")
    expect(rows(page)).to_have_count(1_004)  # four targets alone
    milliseconds = min(
        page.evaluate(SORT)
        for _ in range(3)  # descending, ascending, descending
    )
    assert milliseconds < 2_000  # under 100 by itself
    scores = [float(text) for text in page.locator("main tbody tr:not(.whyrow) td:nth-child(4)").all_inner_texts()]
    assert scores == sorted(scores, reverse=True)
    page.get_by_label("Filter Order of trainings").fill("many99")
    expect(rows(page)).to_have_count(11)  # many99, many990 to many999


def test_rows_that_are_wrong_are_told_and_names_are_no_markup(page, tmp_path):
    page.click("text=History")
    page.get_by_text("36 observations").wait_for()
    file = tmp_path / "transfers.csv"
    file.write_text("source,target,score\n<b>x</b>,y,0.5\na,y,<i>much</i>\n", encoding="utf-8")
    page.set_input_files("#import", file)
    told = page.get_by_role("alert")
    expect(told).to_contain_text("line 3")
    expect(told).to_contain_text("<i>much</i>")
    file.write_text("source,target,score\n<b>x</b>,y,0.5\n", encoding="utf-8")
    page.set_input_files("#import", file)
    page.get_by_text("1 new observations").wait_for()
    expect(rows(page).first).to_contain_text("<b>x</b>")
    assert page.locator("main b, main i").count() == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_view_fits_a_phone(browser, address, scheme):
    context = browser.new_context(viewport={"width": 390, "height": 844}, color_scheme=scheme)
    page = context.new_page()
    page.goto(address)
    page.fill("#key", KEY)
    page.keyboard.press("Enter")
    for view in ("Plan", "Search", "Terms", "History", "Predictor", "Evidence"):
        page.get_by_role("link", name=view, exact=True).click()
        page.get_by_role("heading", name=view, exact=True, level=1).wait_for()
        page.wait_for_load_state("networkidle")
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), view
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(17, 22, 28)"
    assert dark == (scheme == "dark")
    context.close()
