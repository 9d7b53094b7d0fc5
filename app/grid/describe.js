// A chart in words, for those who do not see it: its figures, from the very traces that are drawn.

/**
 * The text alternative of a chart; its note stands beside it as text already.
 *
 * A line is told by its end, its lowest and its highest point; a map by its range, and what lies
 * on it by its place; a label that states a figure is taken as it stands.
 *
 * @param part title, and `across`: what the horizontal axis counts where it has no title.
 * @param chart an element that plotly has drawn.
 */
export function describe({ title, across = "" }, { _fullData: traces, _fullLayout: layout }) {
  const labels = (layout.annotations ?? []).map(({ text }) => plain(text)).filter((text) => /\d/.test(text));
  const onMap = traces.some(({ z }) => z);
  const told = traces.filter(isTold).map((trace) => {
    const axes = ["xaxis", "yaxis"].map((key) => layout[`${key}${(trace[key] ?? "").slice(1)}`]);
    const [right, up] = axes.map((axis) => plain(axis?.title?.text ?? ""));
    const name = /^trace \d+$/.test(trace.name ?? "") ? "" : plain(trace.name ?? "").replace(/: ?/, ", ");
    if (trace.z) return tellMap(trace, name || "values");
    if (onMap) return tellPlace(trace, name);
    if (typeof trace.y?.[0] === "string") return tellNames(trace, name);
    const owner = up && name ? `${up} of ${name}` : up || name;
    return tellLine(trace, right ? `${owner} over ${right}` : owner, across && `${across} `);
  });
  return [title, ...labels, ...told.filter(Boolean)].join(". ");
}

/** A drawn chart as one figure: its description in place of the letters of its drawing. */
export function labelChart(part, chart) {
  chart.role = "figure";
  chart.ariaLabel = describe(part, chart);
  for (const drawing of chart.querySelectorAll(".main-svg")) drawing.ariaHidden = "true";
}

/** Bands, guides, and the thin line below a mean say nothing of their own. */
function isTold({ visible, hoverinfo, fill, opacity, line }) {
  const guide = hoverinfo === "skip" || line?.width === 0;
  return visible !== false && !guide && (fill ?? "none") === "none" && (opacity ?? 1) > 0.5;
}

function tellLine({ x, y }, name, across) {
  const points = Array.from(y ?? [], (value, i) => [x[i], value]).filter(([, value]) => Number.isFinite(value));
  if (points.length < 2) return ""; // a marker on a line that is told
  const at = ([place, value]) => `${figure(value)} at ${across}${figure(place)}`;
  const low = points.reduce((a, b) => (b[1] < a[1] ? b : a));
  const high = points.reduce((a, b) => (b[1] > a[1] ? b : a));
  if (figure(low[1]) === figure(high[1])) return `${name}: ${figure(low[1])} throughout`;
  return `${name}: ${at(points.at(-1))}, lowest ${at(low)}, highest ${at(high)}`;
}

/** A figure a name: those go upwards, where figures go across. */
function tellNames({ x, y }, name) {
  return `${name}: ${Array.from(y, (owner, i) => `${plain(owner)} ${figure(x[i])}`).join(", ")}`;
}

function tellMap({ x, y, z }, name) {
  let low, high;
  z.forEach((row, j) => row.forEach((value, i) => {
    if (!Number.isFinite(value)) return;
    if (!low || value < low.value) low = { value, i, j };
    if (!high || value > high.value) high = { value, i, j };
  }));
  if (!low) return "";
  const at = ({ value, i, j }) => `${figure(value)} at (${figure(x[i])}, ${figure(y[j])})`;
  return `${name}: lowest ${at(low)}, highest ${at(high)}`;
}

/** A path says where it ends by its last marker. */
function tellPlace({ mode, x, y }, name) {
  return mode === "markers" && x.length === 1 ? `${name} at (${figure(x[0])}, ${figure(y[0])})` : "";
}

/** Three significant digits; a whole number as it is. */
function figure(value) {
  if (typeof value !== "number") return String(value);
  const text = Number.isInteger(value) ? String(value) : String(Number(value.toPrecision(3)));
  return text.replace("-", "−");
}

function plain(text) {
  return text.replace(/<[^>]*>/g, " ").replace(/\s+/g, " ").trim();
}
