// The chart grid: receives messages (see delta.py), keeps its DOM, redraws what changed.

const BASE = new URL(".", import.meta.url);

/** Panels in reading order; the names are grid areas in grid.css. */
const PANELS = ["loss", "damping", "slice", "map", "spectrum"];

let plotly; // one load a page, however often the component mounts

function loadPlotly() {
  plotly ??= new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = new URL("plotly.min.js", BASE);
    script.onload = () => resolve(window.Plotly);
    script.onerror = () => reject(new Error("plotly.min.js could not be loaded"));
    document.head.append(script);
  });
  return plotly;
}

function loadStyle() {
  const href = new URL("grid.css", BASE).href;
  if (![...document.styleSheets].some((sheet) => sheet.href === href)) {
    const link = Object.assign(document.createElement("link"), { rel: "stylesheet", href });
    document.head.append(link);
    return new Promise((resolve) => (link.onload = link.onerror = resolve));
  }
}

function element(tag, className, text = "") {
  const node = document.createElement(tag);
  node.className = className;
  node.textContent = text; // never innerHTML: names may come from a file
  return node;
}

class Grid {
  constructor(parent) {
    this.seq = -1;
    this.parts = {};
    this.dirty = new Set();
    this.root = element("div", "cs-grid");
    this.status = element("div", "cs-status");
    this.status.setAttribute("aria-live", "off");
    this.table = element("table", "cs-table");
    const holder = element("div", "cs-table-holder");
    holder.append(this.table);
    this.root.append(holder);
    this.panels = Object.fromEntries(PANELS.map((name) => [name, this.panel(name)]));
    parent.append(this.status, this.root);
    this.resize = new ResizeObserver(() => this.redraw());
    this.resize.observe(this.root);
  }

  panel(name) {
    const box = element("section", "cs-panel");
    box.style.gridArea = name;
    box.dataset.panel = name;
    const head = element("header", "cs-head");
    const title = element("h3", "cs-title");
    const note = element("p", "cs-note");
    const progress = element("div", "cs-progress");
    const bar = element("progress", "");
    bar.max = 1;
    const label = element("span", "");
    const cancel = element("button", "cs-cancel", "Cancel");
    cancel.type = "button";
    cancel.onclick = () => this.trigger("action", "cancel");
    progress.append(label, bar, cancel);
    progress.hidden = true;
    head.append(title, note);
    const chart = element("div", "cs-chart");
    box.append(head, chart, progress);
    this.root.append(box);
    return { box, title, note, progress, bar, label, chart };
  }

  receive(message, trigger) {
    this.trigger = trigger;
    this.theme();
    if (!message || message.seq === this.seq) return;
    if (message.base !== 0 && message.base !== this.seq) {
      trigger("resend", this.seq); // a message was missed
      return;
    }
    if (message.base === 0) this.parts = {};
    this.seq = message.seq;
    this.parts = merge(this.parts, message.parts);
    Object.keys(message.parts).forEach((name) => this.dirty.add(name));
    // After a restart the old charts stay until new ones arrive: nothing blanks.
    this.draw();
  }

  /** Light or dark, read off the page; a change redraws everything. */
  theme() {
    const page = getComputedStyle(document.querySelector(".stApp") ?? document.body);
    const [r, g, b] = page.backgroundColor.match(/[\d.]+/g).map(Number);
    const theme = 0.299 * r + 0.587 * g + 0.114 * b < 128 ? "dark" : "light";
    if (this.root.dataset.theme === theme) return;
    this.root.dataset.theme = this.status.dataset.theme = theme;
    this.redraw();
  }

  redraw() {
    PANELS.forEach((name) => this.dirty.add(name));
    this.draw();
  }

  draw() {
    this.frame ??= requestAnimationFrame(async () => {
      const Plotly = await loadPlotly();
      this.frame = null;
      const css = getComputedStyle(this.root);
      for (const name of this.dirty) {
        const part = this.parts[name];
        if (!part) continue;
        if (name === "status") this.drawStatus(part);
        else if (name === "table") this.drawTable(part);
        else this.drawChart(Plotly, css, this.panels[name], part);
      }
      this.dirty.clear();
    });
  }

  drawStatus({ step, rate, message }) {
    this.status.replaceChildren(
      element("span", "", "Step "),
      element("b", "cs-step", String(step)),
      element("span", "cs-rate", rate),
    );
    this.status.dataset.step = step;
    if (message) this.status.append(element("span", "cs-failed", message));
  }

  drawTable({ columns, rows }) {
    if (!columns || !rows) return;
    const head = element("tr", "");
    head.append(element("th", "cs-name", "Optimizer"));
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
      row.append(name, ...cells.map((text) => element("td", "", text)));
      return row;
    });
    this.table.replaceChildren(head, ...body);
  }

  drawChart(Plotly, css, panel, part) {
    panel.title.textContent = part.title;
    panel.note.textContent = part.note;
    panel.progress.hidden = !part.progress;
    if (part.progress) {
      panel.label.textContent = `Computing ${part.progress.text}`;
      panel.bar.value = part.progress.done;
    }
    const { width, height } = panel.chart.getBoundingClientRect();
    if (!width || !height) return;
    const traces = part.order.map((name) => part.traces[name]);
    const layout = { ...resolve(part.layout, css), width, height };
    Plotly.react(panel.chart, resolve(traces, css), layout, {
      displaylogo: false,
      displayModeBar: "hover",
      modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d"],
      scrollZoom: false,
    });
  }

  close() {
    this.resize.disconnect();
    for (const { chart } of Object.values(this.panels)) window.Plotly?.purge(chart);
    this.root.remove();
    this.status.remove();
  }
}

/** `old` with a message's changes: nested objects key by key, null for a key that is gone. */
function merge(old, changes) {
  const plain = (value) => value && typeof value === "object" && !Array.isArray(value);
  if (!plain(old) || !plain(changes)) return changes;
  const merged = { ...old };
  for (const [key, change] of Object.entries(changes)) {
    if (change === null) delete merged[key];
    else merged[key] = merge(old[key], change);
  }
  return merged;
}

/** A copy of a spec with every "var(--name)" replaced by its value, so that CSS owns the theme. */
function resolve(value, css) {
  if (typeof value === "string") {
    const name = value.match(/^var\((--[\w-]+)\)$/)?.[1];
    return name ? css.getPropertyValue(name).trim() : value;
  }
  if (Array.isArray(value)) return value.map((item) => resolve(item, css));
  if (value && typeof value === "object" && !ArrayBuffer.isView(value)) {
    return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, resolve(v, css)]));
  }
  return value;
}

const grids = new WeakMap();

export default async function mount({ data, parentElement, setTriggerValue }) {
  await loadStyle();
  if (!grids.has(parentElement)) grids.set(parentElement, new Grid(parentElement));
  const grid = grids.get(parentElement);
  grid.receive(data, setTriggerValue);
  return () => {
    grids.delete(parentElement);
    grid.close();
  };
}
