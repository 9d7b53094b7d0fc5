// A chart as a picture or as figures, made in the browser from what it shows.

/** Plotly's own icons are of one colour and size; these three letters say more. */
const icon = (text) => ({
  width: 34, height: 20,
  svg: `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 34 20"><text x="0" y="15" font-size="14"
    font-family="sans-serif" font-weight="600">${text}</text></svg>`,
});

/**
 * The buttons that export a chart.
 *
 * @param Plotly plotly.
 * @param about () -> {title, note, experiment}: what the picture is headed with.
 */
export function exportButtons(Plotly, about) {
  const picture = (format) => ({
    name: format.toUpperCase(),
    title: `Save as ${format.toUpperCase()}`,
    icon: icon(format.toUpperCase()),
    click: (chart) => savePicture(Plotly, chart, format, about()),
  });
  return [
    picture("png"),
    picture("svg"),
    {
      name: "CSV", title: "Save the figures as CSV", icon: icon("CSV"),
      click: (chart) => save(new Blob([csv(chart._fullData)], { type: "text/csv" }), fileName(about(), "csv")),
    },
  ];
}

async function savePicture(Plotly, chart, format, { title, note, experiment }) {
  const { width, height } = chart.getBoundingClientRect();
  const { paper_bgcolor: paper, font, ...layout } = chart.layout;
  const head = 58; // px for the two lines above the chart
  const figure = {
    data: chart.data,
    layout: {
      ...layout, font,
      // A page is transparent; a picture is not.
      paper_bgcolor: getComputedStyle(chart.closest(".cs-grid")).getPropertyValue("--casing").trim(),
      margin: { ...layout.margin, t: (layout.margin?.t ?? 0) + head },
      title: {
        text: escape(title), x: 0, xref: "paper", yref: "container", y: 1, yanchor: "top",
        pad: { t: 8 }, font: { ...font, size: 16 },
        subtitle: { text: escape([experiment, note].filter(Boolean).join(" · ")), font: { ...font, size: 11 } },
      },
    },
  };
  const size = { format, width: Math.round(width), height: Math.round(height) + head, scale: format === "png" ? 2 : 1 };
  const url = await Plotly.toImage(figure, size);
  save(await (await fetch(url)).blob(), fileName({ title, experiment }, format));
}

/** Names may come from a file, and plotly reads a little HTML. */
function escape(text) {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}

/** One row a point: which trace it is of, and its coordinates. */
export function csv(traces) {
  const rows = [["series", "x", "y", "z"]];
  for (const { name, type, x, y, z } of traces) {
    if (z && type !== "scatter3d") {
      z.forEach((row, j) => Array.from(row).forEach((value, i) => rows.push([name, x[i], y[j], value])));
    } else {
      Array.from(x ?? []).forEach((at, i) => rows.push([name, at, y[i], z?.[i] ?? ""]));
    }
  }
  return rows.map((row) => row.map(cell).join(",")).join("\r\n") + "\r\n";
}

/** Text that a spreadsheet would take for a formula is marked as text. */
function cell(value) {
  if (value === null || value === undefined || Number.isNaN(value)) return "";
  if (typeof value === "number") return String(value);
  const text = /^[=+\-@\t\r]/.test(value) ? `'${value}` : String(value);
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

function fileName({ title, experiment }, ending) {
  const plain = (text) => text.toLowerCase().replace(/[^a-z0-9]+/g, "-").replace(/^-|-$/g, "");
  return `${["chatterscope", plain(experiment ?? ""), plain(title)].filter(Boolean).join("-")}.${ending}`;
}

function save(blob, name) {
  const link = Object.assign(document.createElement("a"), { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}
