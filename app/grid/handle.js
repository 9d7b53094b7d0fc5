// The point of the page Instruments, on its slice.

import { element } from "./dom.js";

/** The point that is measured, on a chart: dragged, put with a click, or moved by arrow keys. */
export class Handle {
  /** move({x, y, end, n}) asks for figures there; the part that answers carries n. */
  constructor({ box, chart }, move) {
    this.chart = chart;
    this.move_ = move;
    this.n = -1;
    this.knob = element("div", "cs-handle");
    this.knob.tabIndex = 0;
    this.knob.hidden = true;
    this.knob.setAttribute("role", "img");
    this.knob.title = "Drag me; or the arrow keys";
    this.knob.onkeydown = ({ key }) => {
      if (key === "ArrowUp" || key === "ArrowDown") this.move(0, key === "ArrowUp" ? 1 : -1);
    };
    box.append(this.knob);
    this.listeners = new AbortController();
    const on = (target, type, f) =>
      target.addEventListener(type, f, { capture: true, signal: this.listeners.signal });
    on(box, "pointerdown", (event) => this.begin(event));
    on(window, "pointermove", (event) => this.dragging && this.drag(event, false));
    on(window, "pointerup", (event) => this.dragging && this.drag(event, true));
  }

  draw(part) {
    if (this.n < 0) this.n = part.n; // this page is younger than its session
    this.part = part;
    if (part.n >= this.n) this.answered();
  }

  answered() {
    clearTimeout(this.patience);
    this.waiting = false;
    if (this.wanted) this.send();
    else if (!this.dragging) {
      [this.x, this.y] = [this.part.x, this.part.y];
      this.place();
    }
  }

  /** Put the knob where x and y are on the chart. */
  place() {
    const axes = this.chart._fullLayout;
    if (!this.part || !axes?.xaxis) return;
    this.knob.hidden = false;
    this.knob.setAttribute("aria-label", `Point at ${this.x}, ${this.y}`);
    const left = this.chart.offsetLeft + axes.xaxis._offset + axes.xaxis.l2p(this.x);
    const top = this.chart.offsetTop + axes.yaxis._offset + axes.yaxis.l2p(this.y);
    this.knob.style.translate = `${left}px ${top}px`;
  }

  /** The coordinates under a pointer. */
  under({ clientX, clientY }) {
    const { xaxis, yaxis } = this.chart._fullLayout;
    const { left, top } = this.chart.getBoundingClientRect();
    return [xaxis.p2l(clientX - left - xaxis._offset), yaxis.p2l(clientY - top - yaxis._offset)];
  }

  begin(event) {
    if (!this.part || !this.chart._fullLayout?.xaxis || event.button !== 0) return;
    const [x, y] = this.under(event);
    const [x0, x1, y0, y1] = this.part.extent;
    const within = x >= x0 && x <= x1 && y >= y0 && y <= y1;
    if (!within && event.target !== this.knob) return;
    event.preventDefault();
    this.knob.focus({ preventScroll: true });
    this.dragging = true;
    this.drag(event, false);
  }

  drag(event, end) {
    this.dragging = !end;
    this.go(...this.under(event), end);
  }

  /** By so many hundredths of the plane. */
  move(right, up = 0) {
    if (!this.part) return;
    const [x0, x1, y0, y1] = this.part.extent;
    this.go(this.x + (right * (x1 - x0)) / 100, this.y + (up * (y1 - y0)) / 100, true);
  }

  /** Show it there at once; requests that come faster than answers are left out. */
  go(x, y, end) {
    const [x0, x1, y0, y1] = this.part.extent;
    this.x = Math.min(x1, Math.max(x0, x));
    this.y = Math.min(y1, Math.max(y0, y));
    this.place();
    this.wanted = { x: this.x, y: this.y, end };
    if (!this.waiting) this.send();
  }

  send() {
    this.n += 1;
    this.waiting = true;
    this.patience = setTimeout(() => this.answered(), 3000); // an answer was lost
    this.move_({ ...this.wanted, n: this.n });
    this.wanted = undefined;
  }

  close() {
    clearTimeout(this.patience);
    this.listeners.abort();
  }
}
