// The time machine: one slider that every view follows, stepping and replay.

const SPEEDS = { 1: "1 step/s", 4: "4 steps/s", 20: "20 steps/s", 1000: "full speed" };

function make(tag, className, fields = {}) {
  return Object.assign(document.createElement(tag), { className, ...fields });
}

export class Scrubber {
  /** look(step) shows a step; look(null) follows the last one. */
  constructor(look) {
    this.look = look;
    this.last = 0;
    this.at = 0;
    this.live = true;
    this.waiting = false; // for the answer to the last request
    this.wanted = undefined;
    this.root = make("div", "cs-scrubber");
    this.slider = make("input", "cs-slider", { type: "range", min: 0, max: 0, step: 1 });
    this.slider.setAttribute("aria-label", "Step that is shown");
    this.slider.oninput = () => this.go(Number(this.slider.value));
    this.text = make("span", "cs-at");
    const button = (label, title, onclick) =>
      make("button", "cs-button", { type: "button", textContent: label, title, onclick });
    this.goLive = button("Go live", "Follow the last step", () => this.follow());
    this.replay = button("Replay", "Show the run again; it is not trained again", () =>
      this.timer ? this.stop() : this.play(),
    );
    this.speed = make("select", "cs-choice");
    this.speed.setAttribute("aria-label", "Speed of the replay");
    for (const [value, textContent] of Object.entries(SPEEDS)) {
      this.speed.append(make("option", "", { value, textContent }));
    }
    this.speed.value = "4";
    this.root.append(
      button("◀ 1 step", "Arrow left", () => this.move(-1)),
      this.slider,
      button("1 step ▶", "Arrow right", () => this.move(1)),
      this.text,
      this.goLive,
      this.replay,
      this.speed,
    );
  }

  draw({ last, at, live, text }) {
    this.last = last;
    this.waiting = false;
    this.slider.max = last;
    if (this.wanted !== undefined) this.send();
    else {
      this.at = at;
      this.live = live;
      if (document.activeElement !== this.slider || live) this.slider.value = live ? last : at;
    }
    this.text.textContent = text;
    this.goLive.disabled = live;
  }

  move(by) {
    this.stop();
    this.go((this.live ? this.last : this.at) + by);
  }

  /** Show a step; requests that come faster than answers are left out, the newest is kept. */
  go(step) {
    this.at = Math.min(this.last, Math.max(0, step));
    this.live = false;
    this.slider.value = this.at;
    this.wanted = this.at;
    if (!this.waiting) this.send();
  }

  send() {
    const step = this.wanted;
    this.wanted = undefined;
    this.waiting = true;
    // An answer may bring nothing new here, and then this is not drawn.
    clearTimeout(this.patience);
    this.patience = setTimeout(() => {
      this.waiting = false;
      if (this.wanted !== undefined) this.send();
    }, 1000);
    this.look(step);
  }

  follow() {
    this.stop();
    this.wanted = undefined;
    this.live = true;
    this.look(null);
  }

  play() {
    const from = this.live || this.at >= this.last ? 0 : this.at;
    const begin = performance.now();
    this.replay.textContent = "Stop";
    const tick = () => {
      const step = from + Math.floor(((performance.now() - begin) / 1000) * this.speed.value);
      if (step !== this.at) this.go(step);
      if (step >= this.last) this.stop();
    };
    this.timer = setInterval(tick, 50);
    tick();
  }

  stop() {
    clearInterval(this.timer);
    this.timer = undefined;
    this.replay.textContent = "Replay";
  }

  close() {
    this.stop();
    clearTimeout(this.patience);
  }
}
