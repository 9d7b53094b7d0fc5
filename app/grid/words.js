// What the grid says in words: the bar's figures, the sentence, the table, and its menus.

import { element } from "./dom.js";

/** The bar's figures: the step and its rate, or what is being done. */
export function drawStatus(status, { text, step, rate, done, message }) {
  const words = text !== undefined
    ? [element("span", "cs-doing", text)]
    : [element("span", "", "Step "), element("b", "cs-step", String(step)),
       element("span", "cs-rate", rate)];
  status.replaceChildren(...words);
  if (done !== null && done !== undefined) {
    const bar = Object.assign(element("progress", ""), { max: 1, value: done });
    bar.setAttribute("aria-label", text ?? "First run");
    status.append(bar);
  }
  if (message) status.append(element("span", "cs-failed", message));
}

/** The one sentence, its figures in their optimizers' colours. */
export function drawSentence(sentence, { parts, verdict }) {
  const spans = parts.map(({ text, color }) => {
    const span = element(color ? "b" : "span", "", text);
    if (color) span.style.color = color;
    return span;
  });
  sentence.replaceChildren(...spans);
  if (verdict) sentence.append(element("span", "cs-verdict", verdict));
}

/** A row an optimizer, or an instrument; set(field, value) takes what a menu says; help is its "?". */
export function drawTable(table, { choices, columns, rows }, set, help) {
  const head = element("tr", "");
  const first = element("th", "cs-name");
  first.append(...choices.map((choice) => menu(choice, set)), help);
  head.append(first);
  for (const { title, help } of columns) {
    const cell = element("th", "", title);
    cell.title = help;
    head.append(cell);
  }
  const body = rows.map(({ key, color, glyph, title, cells }) => {
    const row = element("tr", "");
    row.dataset.lane = key;
    const name = element("th", "cs-name", `${glyph} ${title}`);
    name.scope = "row";
    name.style.color = color;
    row.append(name, ...cells.map(({ text, below, beside, stale }) => {
      const cell = element("td", stale ? "cs-stale" : "", text);
      if (below) cell.append(element("span", "cs-below", below));
      if (beside) cell.append(element("span", "cs-beside", beside));
      return cell;
    }));
    return row;
  });
  table.classList.toggle("cs-paired", choices.length > 1);
  // A menu that is open under a person's hand stays.
  const open = document.activeElement?.closest(".cs-table") && table.rows[0];
  table.replaceChildren(open || head, ...body);
}

/** A menu that sets one field of what the page holds. */
export function menu({ field, label, value, options }, set) {
  const select = element("select", "cs-choice");
  select.setAttribute("aria-label", label);
  for (const [key, text] of Object.entries(options)) {
    const option = element("option", "", text);
    option.value = key;
    select.append(option);
  }
  select.value = value;
  select.title = `${label}: ${options[value] ?? ""}`; // a long one is cut
  select.onchange = () => set(field, select.value);
  return select;
}
