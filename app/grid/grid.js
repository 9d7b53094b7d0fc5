// The chart grid: receives messages on its line, keeps its DOM, redraws what changed.

import { Buttons } from "./buttons.js";
import { labelChart } from "./describe.js";
import { element } from "./dom.js";
import { exportButtons, MODEBAR } from "./export.js";
import { Handle } from "./handle.js";
import { helpFor } from "./help.js";
import { bindKeys } from "./keys.js";
import { Line } from "./line.js";
import { Scrubber } from "./scrubber.js";
import { breakLabels, enlarge, pageLook, resolve } from "./spec.js";
import { drawSentence, drawStatus, drawTable, menu } from "./words.js";

const BASE = new URL(".", import.meta.url);

/** A page's panels in reading order; the names are grid areas in grid.css. */
const PAGES = {
  lab: ["ahead", "strips", "edge", "slice", "map", "damping", "spectrum"],
  instruments: ["slice", "radius", "byk", "histogram", "damping"],
  stationarity: ["constant", "falling"],
};
/** Milliseconds until the page is asked for again: such a request can be lost in another one. */
const PATIENCE = 2000;

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

loadPlotly(); // beside the first message

let left = -PATIENCE; // when a person left a page last
window.addEventListener("popstate", () => (left = performance.now()));
window.addEventListener("click", ({ target }) => {
  if (target.closest?.(".st-key-pages a")) left = performance.now();
}, true);

class Grid {
  constructor(parent, page) {
    this.page = page;
    this.held = ""; // what the line is to
    this.names = PAGES[page];
    this.hovered = this.names[0];
    this.parts = {};
    this.dirty = new Set();
    this.focused = null;
    this.root = element("div", `cs-grid cs-${page}`);
    this.status = element("div", "cs-status");
    this.sentence = element("p", "cs-sentence");
    this.table = element("table", "cs-table");
    this.next = element("p", "cs-next");
    const holder = element("div", "cs-table-holder");
    const [help, card] = this.help("table");
    this.tableHelp = help;
    holder.append(this.table, card);
    this.root.append(this.sentence, holder);
    this.panels = Object.fromEntries(this.names.map((name) => [name, this.panel(name)]));
    // What the arrow keys move: the step that is shown, or the point that is measured.
    if (page === "lab") {
      this.buttons = new Buttons((name) => this.act({ do: name }));
      this.scrubber = new Scrubber((step) => this.act({ do: "look", step }));
      this.root.prepend(this.scrubber.root);
    } else if (page === "instruments") {
      this.scrubber = new Handle(this.panels.slice, (at) => this.act({ do: "move", ...at }));
    }
    this.root.append(this.next);
    parent.append(this.status, this.root);
    this.resize = new ResizeObserver(() => {
      this.theme(); // another size of letters arrives without a message
      this.redraw();
    });
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
    const [help, card] = this.help(name);
    head.append(choices, title, help, note);
    const chart = element("div", "cs-chart");
    box.append(head, chart, progress, card);
    this.root.append(box);
    return { box, title, note, choices, progress, bar, label, chart };
  }

  /** The "?" of a part and its card, which follow the part's menus. */
  help(name) {
    const shown = () => (this.parts[name]?.choices ?? []).map(({ value }) => String(value));
    return helpFor(this.page, name, shown);
  }

  /** Say what a person did. */
  act(action) {
    this.line.act(action);
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

  /** The page was drawn; askForPage lets the server draw what is around the grid again. */
  mounted({ held, late }, askForPage) {
    this.askForPage = askForPage;
    clearTimeout(this.patience);
    this.patience = undefined;
    this.buttons?.place();
    this.theme();
    if (held !== this.held) {
      this.line?.close();
      this.held = held;
      this.line = new Line(held, (...message) => this.receive(...message), () => this.lost());
    }
    if (late) this.redrawPage();
  }

  receive(parts, names, stale) {
    this.parts = parts;
    names.forEach((name) => this.dirty.add(name));
    this.draw();
    if (stale) this.redrawPage();
  }

  /** Not while a person leaves: the request would name the old page, and call it back. */
  redrawPage() {
    if (this.patience !== undefined || performance.now() < left + PATIENCE) return;
    this.askForPage();
    this.patience = setTimeout(() => (this.patience = undefined), PATIENCE);
  }

  /** The next message shows the status again. */
  lost() {
    this.status.textContent = "no connection, trying again";
    this.redrawPage(); // which knows what there is to connect to
  }

  /** As the page looks; a change redraws everything. */
  theme() {
    const { theme, look } = pageLook();
    if (this.root.dataset.theme === theme && this.root.dataset.look === look) return;
    for (const { dataset } of [this.root, this.status]) Object.assign(dataset, { theme, look });
    if (this.buttons) Object.assign(this.buttons.root.dataset, { theme, look });
    this.redraw();
  }

  redraw() {
    this.names.forEach((name) => this.dirty.add(name));
    this.draw();
  }

  draw() {
    this.drawing ??= this.drawAll().finally(() => (this.drawing = null));
  }

  /** Words at once, then a chart a frame, so that a button never waits for all of them. */
  async drawAll() {
    this.root.ariaBusy = "true";
    const words = {
      status: (part) => {
        drawStatus(this.status, part);
        this.buttons?.draw(part);
      },
      scrubber: (part) => this.scrubber.draw(part),
      point: (part) => this.scrubber.draw(part),
      sentence: (part) => drawSentence(this.sentence, part),
      next: (part) => this.next.replaceChildren(element("b", "", "Try next "), part.text),
      table: (part) => {
        this.root.classList.toggle("cs-many", part.rows.length > 4);
        drawTable(this.table, part, (field, value) => this.set(field, value), this.tableHelp);
      },
    };
    while (this.dirty.size && !this.closed) {
      await new Promise(requestAnimationFrame);
      // Words first: the table's height decides how tall the charts are.
      for (const name of Object.keys(words)) {
        if (this.dirty.delete(name) && this.parts[name]) words[name](this.parts[name]);
      }
      const Plotly = await loadPlotly();
      const name = this.names.find((chart) => this.dirty.delete(chart));
      if (name && this.parts[name]) this.drawChart(Plotly, name, this.parts[name]);
    }
    this.root.ariaBusy = "false";
  }

  drawChart(Plotly, name, part) {
    const css = getComputedStyle(this.root);
    const panel = this.panels[name];
    panel.title.textContent = part.title;
    panel.note.textContent = part.note;
    panel.note.title = part.note;
    panel.chart.classList.toggle("cs-stale", Boolean(part.stale));
    panel.box.ariaBusy = String(Boolean(part.growing || part.progress));
    this.drawChoices(panel, part.choices ?? []);
    panel.progress.hidden = !part.progress;
    if (part.progress) {
      panel.label.textContent = `Computing ${part.progress.text}`;
      panel.bar.value = part.progress.done;
    }
    const { width, height } = panel.chart.getBoundingClientRect();
    if (!width || !height) return;
    let traces = resolve(part.order.map((key) => part.traces[key]), css);
    let layout = resolve({ ...part.layout, modebar: MODEBAR }, css);
    // Said each time: else plotly keeps the range that an axis without data began with.
    for (const [key, axis] of Object.entries(layout)) {
      if (/^[xy]axis/.test(key)) axis.autorange = !axis.range;
    }
    const look = this.focused === name ? "focus" : this.root.dataset.look;
    if (look) [traces, layout] = [enlarge(traces, look), enlarge(layout, look)];
    if (look && part.breaks) breakLabels(layout);
    const drawn = Plotly.react(panel.chart, traces, { ...layout, width, height }, {
      displaylogo: false,
      displayModeBar: "hover",
      modeBarButtonsToRemove: ["toImage", "select2d", "lasso2d", "autoScale2d"],
      modeBarButtonsToAdd: (panel.exports ??= exportButtons(Plotly, () => this.about(name))),
      doubleClick: part.extent ? "autosize" : "reset+autosize", // back to the whole plane
      edits: { shapePosition: Boolean(part.mark) },
    });
    drawn.then((chart) => labelChart(part, chart));
    this.scrubber?.place?.();
    if (!panel.bound) {
      panel.bound = true;
      panel.chart.on("plotly_relayout", (change) => this.moved(name, change));
    }
  }

  /** What a picture of a chart is headed with. */
  about(name) {
    const { title, note } = this.parts[name];
    return { title, note, name: this.parts.status?.name ?? "" };
  }

  drawChoices(panel, choices) {
    const state = JSON.stringify(choices);
    if (panel.choices.dataset.state === state) return;
    panel.choices.dataset.state = state;
    panel.choices.replaceChildren(...choices.map((choice) => menu(choice, (field, value) => this.set(field, value))));
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
    this.closed = true;
    clearTimeout(this.patience);
    this.line.close();
    this.resize.disconnect();
    this.unbindKeys();
    this.buttons?.close();
    this.scrubber?.close();
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

/** How long a grid outlives its mount, in ms: long enough to be mounted again. */
const LINGER = 2000;
let shown; // {page, path, grid, mount, leaving}

/**
 * Show the grid of a page. The grid is no child of the element that mounts it: when a run of the page ends
 * before the browser has its last message, Streamlit takes that element away and puts it back, and
 * the charts must not blink.
 */
export default async function mount({ data, parentElement, setTriggerValue }) {
  await loadStyle();
  const path = location.pathname;
  if (shown?.page !== data.page) {
    shown?.grid.close();
    const host = parentElement.closest(".stMainBlockContainer > .stVerticalBlock");
    shown = { page: data.page, path, grid: new Grid(host, data.page) };
  }
  clearTimeout(shown.leaving);
  const here = shown;
  here.mount = parentElement;
  here.grid.mounted(data, () => setTriggerValue("around", data.run));
  return () => {
    if (here !== shown || here.mount !== parentElement) return; // mounted anew since
    const leave = () => {
      here.grid.close();
      if (here === shown) shown = undefined;
    };
    if (location.pathname === here.path) here.leaving = setTimeout(leave, LINGER);
    else leave();
  };
}
