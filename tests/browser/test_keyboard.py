"""A whole lesson without a mouse."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.browser.lab import step, wait_for_step

pytestmark = pytest.mark.browser

OpenPage = Callable[..., Page]
#: Stops of Tab on one page at most; a page that has more is no longer sensible to walk.
MOST_STOPS = 60
#: What has the focus, and whether an outline or a ring shows it, there or on the box around it.
FOCUS = """
() => {
  const at = document.activeElement;
  const marked = (node) => {
    const {outlineStyle, outlineWidth, boxShadow} = getComputedStyle(node);
    return (outlineStyle !== "none" && parseFloat(outlineWidth) >= 1) || boxShadow !== "none";
  };
  const boxes = [at, at.parentElement, at.parentElement?.parentElement];
  const name = at.ariaLabel ?? at.innerText?.split("\\n").at(-1) ?? ""; // an icon's word is above
  return {text: name.trim(), marked: boxes.some((box) => box && marked(box))};
}
"""


def tab_to(page: Page, text: str) -> None:
    """Press Tab until the focus is on what has this name, and see that it shows."""
    passed = []
    for _ in range(MOST_STOPS):
        page.keyboard.press("Tab")
        found = page.evaluate(FOCUS)
        passed.append(found["text"])
        if found["text"] == text:
            assert found["marked"], f"the focus does not show on {text}"
            return
    raise AssertionError(f"{text!r} is not among the stops {passed}")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_whole_lesson_by_keys_alone(open_page: OpenPage, scheme: str) -> None:
    page = open_page("?scenario=abs-l1", scheme=scheme)
    tab_to(page, "Lessons")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="How fast does it chatter?")).to_be_visible()
    expect(page.locator(".cs-grid")).to_have_count(0)
    tab_to(page, "Your prediction; it stays on this page")
    page.keyboard.type("half of them")
    tab_to(page, "|x|, β1 0.5")
    with page.context.expect_page() as opened:
        page.keyboard.press("Enter")
    lab = opened.value
    wait_for_step(lab, 400)
    expect(lab.locator(".cs-rate")).to_have_text("finished")
    lab.keyboard.press("r")
    lab.wait_for_function("Number(document.querySelector('.cs-step').textContent) < 400")
    tab_to(lab, "Run")
    lab.keyboard.press("Enter")
    wait_for_step(lab, 20)
    tab_to(lab, "Step that is shown")
    at = step(lab)
    lab.keyboard.press("ArrowLeft")
    expect(lab.locator(".cs-at")).to_contain_text("View: step")
    assert at > 0
    lab.close()
    page.bring_to_front()
    answer = page.get_by_text("Without momentum every step crosses the kink")
    expect(answer).to_be_hidden()
    tab_to(page, "Answer")
    page.keyboard.press("Enter")
    expect(answer).to_be_visible()
