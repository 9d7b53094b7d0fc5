// Keys: Space runs and pauses, s steps, r resets, arrows move one step, F fills the window.

const BUTTONS = { " ": "run", s: "step", r: "reset" };

/** Bind the keys to a grid; the value unbinds them. */
export function bindKeys(grid) {
  const press = (event) => {
    const typing = event.target.closest?.("input:not([type=range]), textarea, select, [role=dialog]");
    if (typing || event.ctrlKey || event.metaKey || event.altKey) return;
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    if (key === " " && event.target.closest?.("button, a, [role=radio]")) return; // presses that
    if (key in BUTTONS) event.repeat || grid.buttons?.click(BUTTONS[key]);
    else if (key === "f") grid.focus(grid.focused ? null : (grid.hovered ?? "ahead"));
    else if (key === "Escape" && grid.focused) grid.focus(null);
    else if (key === "ArrowLeft") grid.scrubber?.move(-1);
    else if (key === "ArrowRight") grid.scrubber?.move(1);
    else return;
    event.preventDefault();
    event.stopPropagation();
  };
  window.addEventListener("keydown", press, true);
  return () => window.removeEventListener("keydown", press, true);
}
