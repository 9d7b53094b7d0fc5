// "?" at a view: definition, formula and source, from the texts that the page Glossary has.

import { element } from "./dom.js";

let glossary; // one fetch a page, and only where a person asks

function fetched() {
  glossary ??= fetch(new URL("glossary.json", import.meta.url)).then((answer) => answer.json());
  return glossary;
}

/**
 * A button and the card that it opens; Escape, a click beside it and the button close it.
 *
 * @param page whose view it is, and @param view its name: keys of the glossary.
 * @param shown () -> what the view's menus are set to.
 * @param load () -> a promise of the glossary, see app/glossary.py.
 */
export function helpFor(page, view, shown, load = fetched) {
  const button = element("button", "cs-help", "?");
  const card = element("div", "cs-card");
  button.type = "button";
  button.ariaLabel = `What ${view.replaceAll("-", " ")} shows`;
  button.title = "Definition, formula, source";
  card.popover = "auto";
  card.tabIndex = -1;
  card.role = "dialog";
  card.ariaLabel = "Definitions";
  button.popoverTargetElement = card;
  card.addEventListener("toggle", async ({ newState }) => {
    if (newState !== "open") return;
    const { terms, views, aliases, address } = await load();
    const chosen = shown().map((value) => value.replace(/^along-/, "")).flatMap((key) => aliases[key] ?? key);
    const keys = new Set([...chosen.filter((key) => key in terms), ...views[page][view]]);
    card.replaceChildren(...[...keys].flatMap((key) => entry(terms[key], address && `${address}#${key}`)));
    card.focus();
  });
  return [button, card];
}

/** One term; with a link to it, where there is a page Glossary. */
function entry({ title, text, formula, source }, address) {
  const last = element("p", "cs-source", `${source}. `);
  if (address) {
    const more = element("a", "", "Glossary");
    more.href = new URL(address, document.baseURI);
    more.target = "_blank";
    last.append(more);
  }
  const sum = formula ? [element("p", "cs-formula", formula)] : [];
  return [element("h3", "", title), element("p", "", text), ...sum, last];
}
