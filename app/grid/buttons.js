// Run, Step, Reset and New seed: part of the grid, so that one message answers a press.

import { element } from "./dom.js";

const SLOT = ".cs-buttons";
const LABELS = {
  step: ["Step", "Take one step (s)"],
  reset: ["Reset", "To the same initial weights (r)"],
  seed: ["New seed", "The same experiment from the next seed on"],
};

export class Buttons {
  /** press(name) is called with "run", "pause", "step", "reset" or "seed". */
  constructor(press) {
    this.root = element("div", "cs-pressed");
    this.run = this.button("run", "Run", "Run and pause (space)");
    this.run.classList.add("cs-primary");
    this.run.onclick = () => press(this.running ? "pause" : "run");
    for (const [name, [label, title]] of Object.entries(LABELS)) {
      this.button(name, label, title).onclick = () => press(name);
    }
  }

  button(name, label, title) {
    const button = Object.assign(element("button", "", label), { type: "button", title });
    button.dataset.press = name;
    this.root.append(button);
    return button;
  }

  /** Into the bar, which Streamlit may have drawn anew; a lesson may have left it out. */
  place() {
    const slot = document.querySelector(SLOT);
    if (slot && this.root.parentElement !== slot) slot.replaceChildren(this.root);
  }

  draw({ state }) {
    this.running = state === "running";
    this.run.textContent = this.running ? "Pause" : "Run";
  }

  /** As if pressed by hand, for the keys. */
  click(name) {
    if (this.root.isConnected) this.root.querySelector(`[data-press="${name}"]`).click();
  }

  close() {
    this.root.remove();
  }
}
