// The chart grid: receives messages (see delta.py), keeps its DOM, redraws what changed.

import { Scrubber } from "./scrubber.js";
import { bindKeys } from "./keys.js";

const BASE = new URL(".", import.meta.url);

/** Panels in reading order; the names are grid areas in grid.css. */
const PANELS = ["ahead", "strips", "edge", "slice", "map", "damping", "spectrum"];
/** In focus everything is read from the back of a room. */
const FOCUS_SCALE = 1.7;

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
  if ([...document.styleSheets].some((sheet) => sheet.href === href)) return undefined;
  const link = Object.assign(document.createElement("link"), { rel: "stylesheet", href });
  document.head.append(link);
  return new Promise((resolve) => (link.onload = link.onerror = resolve));
}

export function element(tag, className, text = "") {
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
    this.focused = null;
    this.root = element("div", "cs-grid");
    this.status = element("div", "cs-status");
    this.scrubber = new Scrubber((step) => this.act({ do: "look", step }));
    this.sentence = element("p", "cs-sentence");
    this.table = element("table", "cs-table");
    this.next = element("p", "cs-next");
    const holder = element("div", "cs-table-holder");
    holder.append(this.table);
    this.root.append(this.scrubber.root, this.sentence, holder);
    this.panels = Object.fromEntries(PANELS.map((name) => [name, this.panel(name)]));
    this.root.append(this.next);
    parent.append(this.status, this.root);
    this.resize = new ResizeObserver(() => this.redraw());
    for (const { chart } of Object.values(this.panels)) this.resize.observe(chart);
    this.unbindKeys = bindKeys(this);
    foldSidebar();
  }

  panel(name) {
    const box = element("section", "cs-panel");
    box.style.gridArea = name;
    box.dataset.panel = name;
    const head = element("header", "cs-head");
    const title = element("button", "cs-title");
    title.type = "button";
    title.title = "Fill the window (F)";
    title.onclick = () => this.focus(this.focused === name ? null : name);
    box.onpointerenter = () => (this.hovered = name);
    const note = element("span", "cs-note");
    const choices = element("span", "cs-choices");
    const progress = element("div", "cs-progress");
    const bar = element("progress", "");
    bar.max = 1;
    const label = element("span", "");
    const cancel = element("button", "cs-cancel", "Cancel");
    cancel.type = "button";
    cancel.onclick = () => this.act({ do: "cancel" });
    progress.append(label, bar, cancel);
    progress.hidden = true;
    head.append(choices, title, note);
    const chart = element("div", "cs-chart");
    box.append(head, chart, progress);
    this.root.append(box);
    return { box, title, note, choices, progress, bar, label, chart };
  }

  act(action) {
    this.trigger?.("action", action);
  }

  set(field, value) {
    this.act({ do: "set", field, value });
  }

  /** Let one panel fill the window, or none. */
  focus(name) {
    this.focused = name;
    for (const [other, { box }] of Object.entries(this.panels)) {
      box.classList.toggle("cs-focus", other === name);
    }
    this.redraw();
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
      const words = {
        status: (part) => this.drawStatus(part),
        scrubber: (part) => this.scrubber.draw(part),
        sentence: (part) => this.drawSentence(part),
        next: (part) => this.next.replaceChildren(element("b", "", "Try next "), part.text),
        table: (part) => this.drawTable(part),
      };
      // Words first: the table's height decides how tall the charts are.
      for (const name of [...Object.keys(words), ...PANELS]) {
        const part = this.parts[name];
        if (!part || !this.dirty.has(name)) continue;
        if (name in words) words[name](part);
        else this.drawChart(Plotly, css, name, part);
      }
      this.dirty.clear();
    });
  }

  drawStatus({ step, rate, done, message }) {
    this.status.replaceChildren(
      element("span", "", "Step "),
      element("b", "cs-step", String(step)),
      element("span", "cs-rate", rate),
    );
    if (done !== null && done !== undefined) {
      const bar = Object.assign(element("progress", ""), { max: 1, value: done });
      bar.setAttribute("aria-label", "First run");
      this.status.append(bar);
    }
    if (message) this.status.append(element("span", "cs-failed", message));
  }

  drawSentence({ parts }) {
    const spans = parts.map(({ text, color }) => {
      const span = element(color ? "b" : "span", "", text);
      if (color) span.style.color = color;
      return span;
    });
    this.sentence.replaceChildren(...spans);
  }

  drawTable({ columns, rows }) {
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

  drawChart(Plotly, css, name, part) {
    const panel = this.panels[name];
    panel.title.textContent = part.title;
    panel.note.textContent = part.note;
    panel.note.title = part.note;
    this.drawChoices(panel, part.choices ?? []);
    panel.progress.hidden = !part.progress;
    if (part.progress) {
      panel.label.textContent = `Computing ${part.progress.text}`;
      panel.bar.value = part.progress.done;
    }
    const { width, height } = panel.chart.getBoundingClientRect();
    if (!width || !height) return;
    let traces = resolve(part.order.map((key) => part.traces[key]), css);
    let layout = resolve(part.layout, css);
    if (this.focused === name) [traces, layout] = [enlarge(traces), enlarge(layout)];
    Plotly.react(panel.chart, traces, { ...layout, width, height }, {
      displaylogo: false,
      displayModeBar: "hover",
      modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d"],
      edits: { shapePosition: Boolean(part.mark) },
    });
    if (!panel.bound) {
      panel.bound = true;
      panel.chart.on("plotly_relayout", (change) => this.moved(name, change));
    }
  }

  drawChoices(panel, choices) {
    const state = JSON.stringify(choices);
    if (panel.choices.dataset.state === state) return;
    panel.choices.dataset.state = state;
    panel.choices.replaceChildren(
      ...choices.map(({ field, value, options }) => {
        const select = element("select", "cs-choice");
        select.setAttribute("aria-label", field);
        for (const [key, text] of Object.entries(options)) {
          const option = element("option", "", text);
          option.value = key;
          select.append(option);
        }
        select.value = value;
        select.onchange = () => this.set(field, select.value);
        return select;
      }),
    );
  }

  /** A person moved the mark, or the extent of the plane. */
  moved(name, change) {
    const part = this.parts[name];
    if (part.mark && "shapes[0].x0" in change) {
      const mark = Math.min(0.49, Math.max(0.01, change["shapes[0].x0"]));
      this.set("mark", Math.round(mark * 1000) / 1000);
    } else if (part.extent && "xaxis.range[0]" in change) {
      const axes = this.panels[name].chart._fullLayout;
      this.set("extent", [...axes.xaxis.range, ...axes.yaxis.range]);
    } else if (part.extent && "xaxis.autorange" in change) {
      this.set("extent", []);
    }
  }

  close() {
    this.resize.disconnect();
    this.unbindKeys();
    this.scrubber.close();
    for (const { chart } of Object.values(this.panels)) window.Plotly?.purge(chart);
    this.root.remove();
    this.status.remove();
  }
}

/** On a narrow window the sidebar folds, once; a person may open it again. */
function foldSidebar() {
  if (window.innerWidth > 1100) return;
  document.querySelector('[data-testid="stSidebarCollapseButton"] button')?.click();
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

/** A copy of a spec with each value replaced by f(value, key). */
function map(value, f, key = "") {
  if (Array.isArray(value)) return value.map((item) => map(item, f, key));
  if (value && typeof value === "object" && !ArrayBuffer.isView(value)) {
    return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, map(v, f, k)]));
  }
  return f(value, key);
}

/** Every "var(--name)" replaced by its value, so that CSS owns the theme. */
function resolve(spec, css) {
  return map(spec, (value) => {
    const name = typeof value === "string" && value.match(/^var\((--[\w-]+)\)$/)?.[1];
    return name ? css.getPropertyValue(name).trim() : value;
  });
}

/** Letters, lines, markers and margins larger. */
function enlarge(spec) {
  const sized = new Set(["size", "width", "l", "r", "t", "b", "thickness", "yshift", "standoff"]);
  return map(spec, (value, key) =>
    sized.has(key) && typeof value === "number" ? value * FOCUS_SCALE : value,
  );
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
