// A chart as a picture or as figures, and a table as figures, made in the browser from what they show.

import { element } from "./dom.js";

/** The look of a chart's buttons. */
export const MODEBAR = { bgcolor: "var(--casing)", color: "var(--ink-soft)", activecolor: "var(--ink)" };

/** Of a picture's head, in px: letters, and from one line to the next. */
const TITLE = 16, SMALL = 11, LINE = 15;

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
 * @param about () -> {title, note, name}: what the picture is headed with; name is the run's.
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
      click: (chart) => save(csv(chart._fullData, about().name), "text/csv", fileName(about(), "csv")),
    },
  ];
}

/** A button that saves a table as it stands; about() as of a chart. */
export function tableButton({ columns, rows }, about) {
  const button = element("button", "cs-button", "CSV");
  button.type = "button";
  button.title = "Save the figures as CSV";
  button.onclick = () => {
    const named = rows.map(({ cells }) => [...cells, about().name]);
    save(written([[...columns, "run"], ...named]), "text/csv", fileName(about(), "csv"));
  };
  return button;
}

async function savePicture(Plotly, chart, format, { title, note, name }) {
  const { width, height } = chart.getBoundingClientRect();
  const { paper_bgcolor: paper, ...layout } = chart.layout;
  // A picture does not carry the page's own letters along, so it must not be laid out for them.
  const font = { ...layout.font, family: "sans-serif" };
  const lines = [
    ...wrapped(title, width, `bold ${TITLE}px sans-serif`)
      .map((line) => `<span style="font-size:${TITLE}px"><b>${line}</b></span>`),
    ...wrapped(name, width, `${SMALL}px sans-serif`),
    ...wrapped(note, width, `${SMALL}px sans-serif`),
  ];
  const head = LINE * (lines.length + 1);
  const figure = {
    data: chart.data,
    layout: {
      ...layout, font,
      // A page is transparent; a picture is not.
      paper_bgcolor: getComputedStyle(chart.closest(".cs-grid")).getPropertyValue("--casing").trim(),
      margin: { ...layout.margin, t: (layout.margin?.t ?? 0) + head },
      title: {
        text: lines.join("<br>"), x: 0, xref: "container", yref: "container", y: 1, yanchor: "top",
        pad: { t: TITLE, l: 8 }, font: { ...font, size: SMALL },
      },
    },
  };
  const image = await Plotly.toImage(figure, {
    format, width: Math.round(width), height: Math.round(height) + head, scale: format === "png" ? 2 : 1,
    imageDataOnly: true,
  });
  const bytes = format === "png" ? Uint8Array.from(atob(image), (byte) => byte.charCodeAt(0)) : image;
  save(bytes, format === "png" ? "image/png" : "image/svg+xml", fileName({ title, name }, format));
}

/** Text as escaped lines of at most so many px; [] for none. */
function wrapped(text, width, font) {
  const pen = document.createElement("canvas").getContext("2d");
  pen.font = font;
  const lines = [];
  for (const word of text.split(/\s+/).filter(Boolean)) {
    const longer = lines.length ? `${lines.at(-1)} ${word}` : word;
    if (lines.length && pen.measureText(longer).width <= width - 16) lines[lines.length - 1] = longer;
    else lines.push(word);
  }
  return lines.map(escaped);
}

/** Names may come from a file, and plotly reads a little HTML. */
function escaped(text) {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}

/** One row a point: which trace it is of, its coordinates, and what run it is from. */
export function csv(traces, name) {
  const rows = [["series", "x", "y", "z", "run"]];
  for (const { name: series, type, x, y, z } of traces) {
    if (z && type !== "scatter3d") {
      z.forEach((row, j) => Array.from(row).forEach((value, i) => rows.push([series, x[i], y[j], value, name])));
    } else {
      Array.from(x ?? []).forEach((at, i) => rows.push([series, at, y?.[i], z?.[i], name]));
    }
  }
  return written(rows);
}

function written(rows) {
  return rows.map((row) => row.map(cell).join(",")).join("\r\n") + "\r\n";
}

/** Numbers as they are; text that a spreadsheet would take for a formula is marked as text. */
function cell(value) {
  if (value === null || value === undefined || Number.isNaN(value)) return "";
  if (typeof value === "number") return String(value);
  const text = /^[=+\-@\t\r]/.test(value) ? `'${value}` : String(value);
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

/** Letters, digits and dashes alone: a name may come from a file. */
function fileName({ title, name }, ending) {
  const plain = (text) => text.toLowerCase().replace(/[^a-z0-9]+/g, "-").replace(/^-|-$/g, "").slice(0, 100);
  return `${["chatterscope", plain(name), plain(title)].filter(Boolean).join("-")}.${ending}`;
}

function save(content, type, name) {
  const blob = new Blob([content], { type });
  const link = Object.assign(document.createElement("a"), { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}
