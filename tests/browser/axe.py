"""What axe-core finds wrong on a page for people who see, point or read differently."""

from __future__ import annotations

from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import Page

#: Impacts that no page may have; the lesser ones are advice.
IMPACTS = ("serious", "critical")
_RUN = """
async (impacts) => {
  const {violations} = await axe.run(document, {resultTypes: ["violations"]});
  return violations.filter(({impact}) => impacts.includes(impact)).flatMap(({id, nodes}) =>
    nodes.map(({target, html, failureSummary}) =>
      `${id} at ${target.join(" ")}: ${html.slice(0, 200)} ${failureSummary}`));
}
"""


def violations(page: Page) -> list[str]:
    """A text for each element of the whole page that breaks a rule seriously or critically."""
    page.evaluate(AXE_SCRIPT)
    return page.evaluate(_RUN, list(IMPACTS))
