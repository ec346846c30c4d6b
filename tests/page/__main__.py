"""Opens the pages of jobs in a headless Chromium and uses them as people do, with the mouse and with the keyboard.

    .ci/page [--pictures DIR]

Jobs of a few tasks, of 1,000 and one that fails are run by the command, `target/debug/kinglet` or `$KINGLET`; the page of 10,000
attempts is made of that of 1,000. On each: nothing on the console, no request, no violation that axe-core knows, in light and in
dark. With `--pictures`, screenshots go there. Needs Debian's packages `chromium` and `chromium-driver`, and npm.
"""

import argparse
import gzip
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
KINGLET = Path(os.environ.get("KINGLET", TARGET / "debug/kinglet"))
TOOLS = TARGET / "page"
AXE = "axe-core@4.14.1"
DATA = re.compile(r'(<script type="application/json" id="data">)(.*?)(</script>)', re.S)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=Path, metavar="DIR", help="keep screenshots there")
    options = parser.parse_args()
    python = install()
    if Path(sys.prefix) != TOOLS / "venv":
        # Once more, with what was installed.
        os.execv(python, [str(python), str(HERE), *sys.argv[1:]])
    with tempfile.TemporaryDirectory() as scratch:
        for name, page, facts in pages(Path(scratch)):
            for scheme in ("light", "dark"):
                said = check(page, facts, scheme, options.pictures and options.pictures / f"{name}-{scheme}.png")
                print(f"ok: {name}, {scheme}: {said}", flush=True)


def install():
    """Makes what the test needs, once. Returns its Python."""
    python, wanted = TOOLS / "venv/bin/python", HERE / "requirements.txt"
    done = TOOLS / "installed.txt"
    if not done.exists() or done.read_text() != wanted.read_text() + AXE:
        shutil.rmtree(TOOLS, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", TOOLS / "venv"], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", "-r", wanted], check=True)
        subprocess.run(["npm", "install", "--silent", "--prefix", TOOLS, AXE], check=True)
        done.write_text(wanted.read_text() + AXE)
    return python


def run(scratch, name, *arguments, fails=False):
    page = scratch / f"{name}.html"
    environment = os.environ | {"KINGLET_STATE_DIR": str(scratch / "state")}
    command = [KINGLET, "run", *arguments, "--output", scratch / f"out-{name}", "--report", page]
    ran = subprocess.run([str(part) for part in command], env=environment, capture_output=True, text=True)
    assert (ran.returncode != 0) == fails, ran.stderr
    # What was recorded gives the same page.
    again = scratch / "again.html"
    told = subprocess.run([str(KINGLET), "report", "last", "-o", str(again)], env=environment, capture_output=True, text=True)
    assert told.returncode == 0 and told.stdout.strip() == str(again), told
    assert facts_of(again)["attempts"] == facts_of(page)["attempts"], name
    return page


def facts_of(page):
    return json.loads(DATA.search(page.read_text())[2])


def pages(scratch):
    """Name, page, and what the job's attempts were."""
    few = run(scratch, "few", "word-count", ROOT / "core/src", "--split-bytes", "200000", "--partitions", "3")
    yield "few", few, facts_of(few)
    many = run(scratch, "thousand", "primes", "--to", "1000000", "--stretches", "1000")
    yield "thousand", many, facts_of(many)
    broken = scratch / "broken.txt.gz"
    broken.write_bytes(gzip.compress(b"one two three\n" * 10_000)[:-20])
    failed = run(scratch, "failed", "word-count", broken, fails=True)
    facts = facts_of(failed)
    assert facts["errors"] and facts["status"]["phase"] == "failed", facts
    yield "failed", failed, facts
    # As if a thousand functions had run at once: each attempt at ten places.
    facts = facts_of(many)
    facts["attempts"] = [row[:1] + [10 * row[1] + n] + row[2:] for row in facts["attempts"] if row[0] == 2 for n in range(10)]
    large = scratch / "large.html"
    data = json.dumps(facts).replace("<", "\\u003c")
    large.write_text(DATA.sub(lambda found: found[1] + data + found[3], many.read_text()))
    yield "ten-thousand", large, facts


def check(page, facts, scheme, picture):
    from selenium import webdriver
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys

    options = webdriver.ChromeOptions()
    for flag in ("--headless=new", "--no-sandbox", "--disable-gpu", "--window-size=1200,1600"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    service = webdriver.ChromeService(executable_path=shutil.which("chromedriver"))
    with webdriver.Chrome(options=options, service=service) as browser:
        features = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", features)
        browser.get(page.as_uri())
        find = lambda name: browser.find_element(By.ID, name)
        script = browser.execute_script
        rows = lambda: browser.find_elements(By.CSS_SELECTOR, "#list tbody tr")
        count = len(facts["attempts"])
        assert facts["status"]["job"] in browser.title, browser.title
        frames = script(
            "const began = performance.now(); for (let n = 0; n < 5; n++) { $('in').click(); } for (let n = 0; n < 5; n++) "
            "{ $('out').click(); } return (performance.now() - began) / 10"
        )
        # All attempts are listed, fifty at first.
        assert f"{min(count, 50):,} of {count:,} shown" == find("count").text, find("count").text
        assert len(rows()) == min(count, 50)
        # The longest first; a click on a head sorts by it.
        longest = max(facts["attempts"], key=lambda row: row[7])
        assert f"{longest[1]}" in rows()[0].text or longest[0] == 0, rows()[0].text
        head = browser.find_elements(By.CSS_SELECTOR, "#list th button")[2]
        head.click()
        assert script("return document.activeElement.textContent").startswith("began")
        # Filters.
        find("f-stage").send_keys("reduce")
        reduces = sum(row[0] == 3 for row in facts["attempts"])
        assert find("count").text.endswith(f" of {reduces:,} shown"), find("count").text
        find("f-stage").send_keys("all")
        find("f-text").send_keys("no such attempt")
        assert find("count").text == "0 of 0 shown"
        find("f-text").clear()
        find("f-text").send_keys(Keys.SPACE, Keys.BACKSPACE)
        # The keyboard chooses attempts, one after the other, and says which.
        canvas = find("time")
        canvas.send_keys(Keys.ARROW_RIGHT)
        first = find("detail").text
        canvas.send_keys(Keys.END)
        last = find("detail").text
        assert "began after" in first and (first != last or count == 1), (first, last)
        canvas.send_keys("+", "+", Keys.ESCAPE)
        assert script("return view.from === start && view.to === end")
        # The mouse shows what it is on, and drags a piece of time.
        lane = script("const a = all.find(a => a.ran > 0); const box = canvas.getBoundingClientRect();"
                      "return [x(a.at + a.ran / 2, box.width) - box.width / 2, TOP + (a.lane + 0.5) * laneHeight - box.height / 2]")
        script("scrollTo(0, 0)")
        ActionChains(browser).move_to_element_with_offset(canvas, round(lane[0]), round(lane[1])).perform()
        assert find("tip").is_displayed() and find("tip").text, "nothing under the mouse"
        ActionChains(browser).click_and_hold().move_by_offset(60, 0).release().perform()
        assert script("return view.to - view.from < end - start")
        find("all").click()
        if facts["errors"]:
            code, message, hint = facts["errors"][0]
            shown = find("errors").text
            assert code in shown and message[:40] in shown and (not hint or hint[:30] in shown), shown
        else:
            assert not find("s-errors").is_displayed()
        assert find("s-bill").is_displayed() == bool(facts["status"]["report"])
        # Narrow windows scroll tables, not the page.
        browser.set_window_size(500, 900)
        assert script("return document.documentElement.scrollWidth <= innerWidth"), "the page is wider than its window"
        browser.set_window_size(1200, 1600)
        script((TOOLS / "node_modules/axe-core/axe.min.js").read_text())
        found = browser.execute_async_script("const done = arguments[0]; axe.run().then(found => done(found.violations))")
        assert not found, [(one["id"], one["nodes"][0]["html"], one["nodes"][0]["failureSummary"]) for one in found]
        paint = script("return performance.getEntriesByType('paint')[0].startTime")
        requests = script("return performance.getEntriesByType('resource').map(entry => entry.name)")
        assert not requests, requests
        log = browser.get_log("browser")
        assert not log, log
        if picture:
            picture.parent.mkdir(parents=True, exist_ok=True)
            browser.save_screenshot(str(picture))
        return f"{count:,} attempts, painted after {paint:.0f} ms, {frames:.0f} ms to draw it anew"


if __name__ == "__main__":
    main()
