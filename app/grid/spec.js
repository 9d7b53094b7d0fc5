// What a chart is sent as: changes merged, colours looked up, everything larger where the look asks.

/** How much larger letters and lines are than a chart's own, by the look of the page. */
const SIZES = {
  focus: { letters: 1.7, lines: 1.7 }, // read from the back of a room
  projector: { letters: 16 / 11, lines: 2 }, // the smallest letters have 11 px
};
/** A line of a chart that is thinner than this is a grid or an edge. */
const THIN = 1.1;

/** `old` with a message's changes: nested objects key by key, null for a key that is gone. */
export function merge(old, changes) {
  const plain = (value) => value && typeof value === "object" && !Array.isArray(value);
  if (!plain(old) || !plain(changes)) return changes;
  const merged = { ...old };
  for (const [key, change] of Object.entries(changes)) {
    if (change === null) delete merged[key];
    else merged[key] = merge(old[key], change);
  }
  return merged;
}

/** A copy of a spec with each value replaced by f(value, its key, the key of what holds it). */
function map(value, f, key = "", owner = "") {
  if (Array.isArray(value)) return value.map((item) => map(item, f, key, owner));
  if (value && typeof value === "object" && !ArrayBuffer.isView(value)) {
    return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, map(v, f, k, key)]));
  }
  return f(value, key, owner);
}

/** Every "var(--name)" replaced by its value, so that CSS owns the theme. */
export function resolve(spec, css) {
  return map(spec, (value) => {
    const name = typeof value === "string" && value.match(/^var\((--[\w-]+)\)$/)?.[1];
    return name ? css.getPropertyValue(name).trim() : value;
  });
}

/** Letters, lines, markers and margins larger: in "focus" or on a "projector". */
export function enlarge(spec, look) {
  const { letters, lines } = SIZES[look];
  const room = new Set(["size", "l", "r", "t", "b", "thickness", "yshift", "standoff"]);
  return map(spec, (value, key, owner) => {
    if (typeof value !== "number" || owner === "contours") return value; // those are losses
    if (key === "width") return value < THIN ? value * lines : Math.max(value * lines, 3);
    if (key === "l") return value * letters * 1.15; // an axis title stands beside wide figures
    return room.has(key) ? value * letters : value;
  });
}

/** Labels in two lines, with room for the second above the chart. */
export function breakLabels(layout) {
  layout.margin.t *= 1.8;
  for (const label of layout.annotations) label.text = label.text.replace("  ", "<br>");
}

/** Light or dark, and whether for a projector: read off the page, as Streamlit has set it. */
export function pageLook() {
  const page = getComputedStyle(document.querySelector(".stApp") ?? document.body);
  const [r, g, b] = page.backgroundColor.match(/[\d.]+/g).map(Number);
  const theme = 0.299 * r + 0.587 * g + 0.114 * b < 128 ? "dark" : "light";
  const look = getComputedStyle(document.documentElement).getPropertyValue("--look").trim();
  return { theme, look };
}
