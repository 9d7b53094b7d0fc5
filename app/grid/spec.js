// What a chart is sent as: changes merged, colours looked up, everything larger in focus.

/** In focus everything is read from the back of a room. */
const FOCUS_SCALE = 1.7;

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

/** A copy of a spec with each value replaced by f(value, key). */
function map(value, f, key = "") {
  if (Array.isArray(value)) return value.map((item) => map(item, f, key));
  if (value && typeof value === "object" && !ArrayBuffer.isView(value)) {
    return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, map(v, f, k)]));
  }
  return f(value, key);
}

/** Every "var(--name)" replaced by its value, so that CSS owns the theme. */
export function resolve(spec, css) {
  return map(spec, (value) => {
    const name = typeof value === "string" && value.match(/^var\((--[\w-]+)\)$/)?.[1];
    return name ? css.getPropertyValue(name).trim() : value;
  });
}

/** Letters, lines, markers and margins larger. */
export function enlarge(spec) {
  const sized = new Set(["size", "width", "l", "r", "t", "b", "thickness", "yshift", "standoff"]);
  return map(spec, (value, key) =>
    sized.has(key) && typeof value === "number" ? value * FOCUS_SCALE : value,
  );
}
