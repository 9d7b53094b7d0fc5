// A page's line to the server, see app/live/line.py: news, and what a person did in the charts.

import { merge } from "./spec.js";

/** Milliseconds until a line that broke is opened again. */
const PATIENCE = 1000;

export class Line {
  /**
   * held names what the server holds for this page. receive(parts, names, stale) is called with
   * each message: all parts, the names of those that are new, and whether the page around the
   * charts has to be drawn anew.
   */
  constructor(held, receive) {
    this.held = held;
    this.receive = receive;
    this.actions = []; // that wait for a line
    this.open();
  }

  open() {
    const url = new URL(`chatterscope/line?held=${this.held}`, document.baseURI);
    url.protocol = url.protocol.replace("http", "ws");
    this.socket = new WebSocket(url);
    let held = {}; // a new line is sent everything
    this.socket.onopen = () => {
      if (this.closed) this.socket.close();
      else this.ask();
      this.actions.splice(0).forEach((action) => this.act(action));
    };
    this.socket.onmessage = ({ data }) => {
      const { parts, again, stale } = JSON.parse(data);
      held = merge(held, parts);
      clearTimeout(this.timer);
      this.timer = setTimeout(() => this.ask(), this.asked + 1000 * again - performance.now());
      this.receive(held, Object.keys(parts), stale);
    };
    this.socket.onclose = () => {
      clearTimeout(this.timer);
      if (!this.closed) this.timer = setTimeout(() => this.open(), PATIENCE);
    };
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
  }

  close() {
    this.closed = true;
    clearTimeout(this.timer);
    // Chromium complains of one that is closed before it is open.
    if (this.socket.readyState === WebSocket.OPEN) this.socket.close();
  }
}
