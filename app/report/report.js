// Draws a report: words, tables and charts.
// The page mounts it as a component, a downloaded report holds it whole.

import { labelChart } from "../grid/describe.js";
import { element } from "../grid/dom.js";
import { exportButtons, MODEBAR, tableButton } from "../grid/export.js";
import { helpFor } from "../grid/help.js";
import { enlarge, pageLook, resolve } from "../grid/spec.js";

class Report {
  /** plotly() and glossary() give promises of Plotly and of what app/glossary.py has. */
  constructor(parent, plotly, glossary) {
    this.plotly = plotly;
    this.glossary = glossary;
    this.root = element("div", "cs-grid cs-report");
    this.words = element("div", "cs-report-words");
    this.tables = element("div", "cs-report-tables");
    this.charts = element("div", "cs-report-charts");
    this.root.append(this.words, this.tables, this.charts);
    parent.append(this.root);
    this.panels = {};
    this.parts = {};
    this.drawing = Promise.resolve(); // until the last chart stands
    this.resize = new ResizeObserver(() => {
      this.theme(); // another size of letters arrives without a message
      this.draw(Object.keys(this.panels));
    });
    this.resize.observe(this.root);
  }

  /** names are those of the parts that are new. */
  show(parts, names = Object.keys(parts)) {
    this.theme();
    if (!names.length) return;
    this.parts = parts;
    this.drawWords(this.parts.words);
    this.tables.replaceChildren(
      ...["figures", "layers", "lanes", "scores"].filter((name) => this.parts[name]?.rows?.length)
        .map((name) => this.table(name, this.parts[name])));
    this.arrange();
    this.draw(names);
  }

  /** As the page looks; a change redraws everything. */
  theme() {
    const { theme, look } = pageLook();
    if (this.root.dataset.theme === theme && this.root.dataset.look === look) return;
    Object.assign(this.root.dataset, { theme, look });
    this.draw(Object.keys(this.panels));
  }

  drawWords(words) {
    if (!words?.summary) {
      this.words.replaceChildren();
      return;
    }
    const facts = element("dl", "cs-facts");
    for (const [name, text] of words.facts) {
      facts.append(element("dt", "", name), element("dd", "", text));
    }
    const banner = words.banner ? [element("p", "cs-banner", words.banner)] : [];
    const lines = words.summary.map((line) => element("p", "cs-sentence", line));
    const notes = words.notes.map((note) => element("p", "cs-note", note));
    this.words.replaceChildren(
      element("h1", "", words.title), ...banner, ...lines, facts, ...notes);
  }

  table(name, part) {
    const { title, columns, rows } = part;
    const table = element("table", "cs-table");
    table.dataset.table = name;
    const csv = tableButton(part, () => ({ title, name: this.parts.words.name }));
    table.createCaption().append(element("span", "", title), ...this.help(name), csv);
    const head = element("tr", "");
    head.append(...columns.map((text) => element("th", "", text)));
    table.append(head, ...rows.map(({ key, cells }) => {
      const row = element("tr", "");
      row.dataset.row = key;
      row.append(...cells.map((text) => element("td", "", text)));
      return row;
    }));
    return table;
  }

  /** A panel for every chart that is there, in the order of the parts' places. */
  arrange() {
    const names = Object.keys(this.parts).filter((name) => this.parts[name].traces);
    names.sort((a, b) => this.parts[a].place - this.parts[b].place);
    for (const gone of Object.keys(this.panels).filter((name) => !names.includes(name))) {
      window.Plotly?.purge(this.panels[gone].chart);
      this.panels[gone].box.remove();
      delete this.panels[gone];
    }
    for (const name of names) {
      this.panels[name] ??= this.panel(name);
      this.charts.append(this.panels[name].box);
    }
  }

  panel(name) {
    const box = element("section", "cs-report-panel");
    box.dataset.panel = name;
    const panel = { box, title: element("h2", ""), note: element("p", "cs-note"),
      chart: element("div", "cs-chart") };
    const head = element("header", "");
    head.append(panel.title, ...this.help(name));
    box.append(head, panel.note, panel.chart);
    return panel;
  }

  /** The "?" of a table or chart and its card. */
  help(name) {
    const shown = () => (this.parts[name].choices ?? []).map(({ value }) => String(value));
    return helpFor(this.parts.words.page, name.replace(/^chart-/, ""), shown, this.glossary);
  }

  /** One drawing after the other: plotly fails where two meet in one chart. */
  draw(names) {
    this.drawing = this.drawing.then(() => this.drawCharts(names)).catch((error) => console.error(error));
  }

  async drawCharts(names) {
    const Plotly = await this.plotly();
    const css = getComputedStyle(this.root);
    for (const name of names) {
      if (this.closed) return;
      const part = this.parts[name];
      const panel = this.panels[name];
      if (!part || !panel) continue;
      panel.title.textContent = part.title;
      panel.note.textContent = part.note;
      panel.box.style.setProperty("--span", part.span);
      panel.box.dataset.span = part.span;
      const { look } = this.root.dataset;
      const height = part.height * (look ? 1.4 : 1);
      panel.chart.style.height = `${height}px`;
      const { width } = panel.chart.getBoundingClientRect();
      if (!width) continue;
      let traces = resolve(part.order.map((key) => part.traces[key]), css);
      let layout = resolve({ ...part.layout, modebar: MODEBAR }, css);
      if (look) [traces, layout] = [enlarge(traces, look), enlarge(layout, look)];
      const drawn = await Plotly.react(panel.chart, traces, { ...layout, width, height }, {
        displaylogo: false,
        displayModeBar: "hover",
        modeBarButtonsToRemove: ["toImage", "select2d", "lasso2d"],
        modeBarButtonsToAdd: (panel.exports ??= exportButtons(Plotly, () => this.about(name))),
      });
      labelChart(part, drawn);
    }
  }

  /** What a picture of a chart is headed with. */
  about(name) {
    const { title, note } = this.parts[name];
    return { title, note, name: this.parts.words.name };
  }

  close() {
    this.closed = true;
    this.resize.disconnect();
    this.root.remove();
    // Not while one is being drawn.
    this.drawing.then(() => {
      for (const { chart } of Object.values(this.panels)) window.Plotly?.purge(chart);
    });
  }
}
