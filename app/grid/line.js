// A page's line to the server, see app/live/line.py: news, and what a person did in the charts.

import { merge } from "./spec.js";

/** Milliseconds until a line that broke is opened again, and until one without an answer is left. */
const AGAIN = 1000;
const PATIENCE = 15_000;

export class Line {
  /**
   * held names what the server holds for this page. receive(parts, names, stale) is called with
   * each message: all parts, the names of those that are new, and whether the page around the
   * charts has to be drawn anew. lost() is called each time the line breaks.
   */
  constructor(held, receive, lost = () => {}) {
    Object.assign(this, { held, receive, lost });
    this.actions = []; // that wait for a line
    this.open();
  }

  open() {
    const url = new URL("chatterscope/line", document.baseURI);
    url.protocol = url.protocol.replace("http", "ws");
    this.socket = new WebSocket(url);
    let held = {}; // a new line is sent everything
    this.socket.onopen = () => {
      this.socket.send(this.held); // not in the address, which logs have
      this.ask();
      this.actions.splice(0).forEach((action) => this.act(action));
    };
    this.socket.onmessage = ({ data }) => {
      const { parts, again, stale } = JSON.parse(data);
      held = merge(held, parts);
      clearTimeout(this.watch);
      clearTimeout(this.timer);
      this.timer = setTimeout(() => this.ask(), this.asked + 1000 * again - performance.now());
      this.receive(held, Object.keys(parts), stale);
    };
    this.socket.onclose = () => this.broken();
  }

  broken() {
    this.leave();
    this.timer = setTimeout(() => this.open(), AGAIN);
    this.lost();
  }

  ask() {
    this.send("");
  }

  /** Say what a person did; the next message is the answer. */
  act(action) {
    if (this.socket.readyState === WebSocket.OPEN) this.send(JSON.stringify(action));
    else this.actions.push(action);
  }

  send(text) {
    this.asked = performance.now();
    this.socket.send(text);
    clearTimeout(this.watch);
    this.watch = setTimeout(() => this.broken(), PATIENCE); // one may look open and be dead
  }

  leave() {
    clearTimeout(this.timer);
    clearTimeout(this.watch);
    const { socket } = this;
    socket.onmessage = socket.onclose = null;
    // Chromium complains of one that is closed before it is open.
    socket.onopen = () => socket.close();
    if (socket.readyState === WebSocket.OPEN) socket.close();
  }

  close() {
    this.leave();
  }
}
