// The figures: the tables' numbers as pictures. They are drawn when they come into sight.

// Okabe and Ito's colors, which stay apart for all common kinds of color vision; shapes tell the second round of eight.
const PALETTE = ["#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#8C6BB1", "#7F7F7F"];
const SYMBOLS = ["circle", "diamond", "square", "triangle-up", "x", "star"];
const CATEGORY_COLORS = { camera: "#0072B2", single_object: "#E69F00", multi_object: "#009E73", human: "#CC79A7" };
const CONFIG = { displaylogo: false, responsive: true, modeBarButtonsToRemove: ["lasso2d", "select2d", "autoScale2d"] };
// Room above the plot for its toolbar, which lies over what stands at the top: legends, names of categories.
const TOOLBAR = 36;

const FIGURES = [
  { id: "trade", title: "Motion fidelity against text alignment", draw: drawTrade,
    text: "Right and up is better. Whiskers are 95% intervals; the dashed line joins the methods that no other beats in both." },
  { id: "cost", title: "Motion fidelity against cost", draw: drawCost,
    text: "Seconds to tune on one reference and make one clip, on a logarithmic axis. Left and up is better." },
  { id: "profile", title: "Profile over categories", draw: drawProfile,
    text: "Normalized motion fidelity: 0 is the floor control, 1 the ceiling. Light is better; an empty field was not measured." },
  { id: "ends", title: "Floors and ceilings", draw: drawEnds,
    text: "Raw motion fidelity of each method between the floor and the ceiling control on the same cases (gray bar)." },
  { id: "strip", title: "Every clip", draw: drawStrip, wide: true,
    text: "One mark per clip, so that a mean cannot hide what it is made of. Choose a mark to see the clip." },
];

let figureBoard = "";

function prepareFigures() {
  const grid = document.getElementById("figure-grid");
  grid.replaceChildren(boardPicker(), ...FIGURES.map((figure) => {
    const plot = make("div", { class: "plot", id: `plot-${figure.id}`, role: "group", "aria-label": `${figure.title}. ${figure.text} The table holds the same numbers.` });
    return make("figure", { class: figure.wide ? "panel wide" : "panel" }, make("figcaption", {}, make("h3", {}, figure.title), make("p", { class: "quiet" }, figure.text)), plot);
  }));
  const watcher = new IntersectionObserver((seen) => {
    for (const one of seen) if (one.isIntersecting) drawFigure(FIGURES.find((figure) => `plot-${figure.id}` === one.target.id));
  }, { rootMargin: "200px" });
  for (const plot of grid.querySelectorAll(".plot")) watcher.observe(plot);
  window.addEventListener("beforeprint", () => FIGURES.forEach(drawFigure));
}

function loadPlotly() {
  if (window.Plotly) return;
  const script = make("script");
  script.textContent = document.getElementById("plotly-source").textContent;
  document.head.append(script); // runs before append returns
}

function boardPicker() {
  if (DATA.boards.length < 2) return make("span", { hidden: true });
  const select = make("select", { id: "figure-board", on: { change: (event) => { figureBoard = event.target.value; redrawFigures(); } } },
    DATA.boards.map((board) => make("option", { value: board.id }, `${board.backbone} · ${board.split} · ${board.version}${board.tracker ? ` · ${board.tracker}` : ""}`)));
  return make("label", { class: "field wide" }, make("span", {}, "Figures of"), select);
}

function currentBoard() {
  const shown = shownBoards();
  return shown.find((board) => board.id === figureBoard) ?? shown[0] ?? null;
}

function redrawFigures() {
  for (const figure of FIGURES) {
    const plot = document.getElementById(`plot-${figure.id}`);
    if (plot?.dataset.drawn) drawFigure(figure);
  }
}

async function drawFigure(figure) {
  loadPlotly();
  const plot = document.getElementById(`plot-${figure.id}`);
  const board = currentBoard();
  const view = board && viewOf(board);
  plot.dataset.drawn = "yes";
  const made = view ? await figure.draw(board, view) : null;
  const isEmpty = !made || !made.traces.length;
  plot.classList.toggle("empty", isEmpty);
  if (isEmpty) {
    Plotly.purge(plot);
    plot.replaceChildren(make("p", { class: "quiet" }, made?.why ?? "Nothing to show in this view."));
    return;
  }
  if (!plot.classList.contains("js-plotly-plot")) plot.replaceChildren();
  await Plotly.react(plot, made.traces, { ...look(), ...made.layout, xaxis: { ...axisLook(), ...made.layout.xaxis }, yaxis: { ...axisLook(), ...made.layout.yaxis } }, { ...CONFIG, displayModeBar: NARROW.matches ? false : "hover" });
  plot.removeAllListeners?.("plotly_click");
  if (made.onClick) plot.on("plotly_click", made.onClick);
}

function ink(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

function look() {
  const isNarrow = NARROW.matches;
  return {
    font: { family: ink("--font"), size: 12, color: ink("--ink") }, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
    margin: { l: 56, r: 12, t: TOOLBAR, b: 48 }, hoverlabel: { font: { family: ink("--font") } }, height: isNarrow ? 470 : 428,
    legend: { font: { size: 11 }, itemsizing: "constant", ...(isNarrow ? { orientation: "h", y: -0.2, yanchor: "top" } : {}) },
    dragmode: isNarrow ? false : "zoom",
  };
}

function axisLook() {
  return { gridcolor: ink("--line"), zerolinecolor: ink("--line-strong"), linecolor: ink("--line-strong"), automargin: true };
}

function styleOf(board, entry) {
  const methods = board.entries.filter((other) => other.role === "method");
  const index = methods.indexOf(entry);
  if (index < 0) return { color: ink("--quiet"), symbol: { ceiling: "star-triangle-up-open", floor: "star-triangle-down-open" }[entry.role] ?? "circle-open" };
  return { color: PALETTE[index % PALETTE.length], symbol: SYMBOLS[Math.floor(index / PALETTE.length) % SYMBOLS.length] };
}

// plotly reads a small HTML dialect in names; what looks like markup there must stay text.
function plain(text) {
  return String(text).replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}

function whiskers(row) {
  if (!row || row.low === null) return { array: [0], arrayminus: [0] };
  return { type: "data", symmetric: false, array: [row.high - row.mean], arrayminus: [row.mean - row.low], thickness: 1, width: 3 };
}

function measured(board, view, names) {
  return shownEntries(board).filter((entry) => names.every((name) => (view[entry.id].metrics[name]?.mean ?? null) !== null));
}

function marker(board, entry) {
  const { color, symbol } = styleOf(board, entry);
  return { color, symbol, size: 10, line: { width: entry.role === "method" ? 1 : 1.5, color: entry.role === "method" ? ink("--paper") : color } };
}

function drawTrade(board, view) {
  const text = TEXT_METRIC;
  const both = board.metrics[HEADLINE] && board.metrics[text] ? measured(board, view, [HEADLINE, text]) : [];
  const entries = both.filter((entry) => entry.role !== "control" || entry.method === "backbone");
  const traces = entries.map((entry) => {
    const { [HEADLINE]: fidelity, [text]: alignment } = view[entry.id].metrics;
    const point = marker(board, entry);
    return { x: [alignment.mean], y: [fidelity.mean], error_x: { ...whiskers(alignment), color: point.color }, error_y: { ...whiskers(fidelity), color: point.color },
      mode: "markers", name: plain(entry.label), marker: point, hovertemplate: `<b>${plain(entry.label)}</b><br>text %{x:.3f}<br>fidelity %{y:.3f}<extra></extra>` };
  });
  const rivals = entries.filter((entry) => entry.role === "method").map((entry) => [view[entry.id].metrics[text].mean, view[entry.id].metrics[HEADLINE].mean]);
  return { traces: [frontLine(paretoFront(rivals)), ...traces].filter(Boolean), layout: { xaxis: { title: { text: board.metrics[text]?.title } }, yaxis: { title: { text: board.metrics[HEADLINE]?.title } } },
    why: "Motion fidelity and text alignment were not both measured here." };
}

// The points that no other is at least as good as in both and better in one; x and y: more is better.
function paretoFront(points) {
  const beaten = ([x, y]) => points.some(([u, v]) => u >= x && v >= y && (u > x || v > y));
  return points.filter((point) => !beaten(point)).toSorted((a, b) => a[0] - b[0]);
}

function frontLine(front) {
  if (front.length < 2) return null;
  return { x: front.map(([x]) => x), y: front.map(([, y]) => y), mode: "lines", name: "Pareto front", hoverinfo: "skip", line: { dash: "dash", width: 1.5, color: ink("--quiet") } };
}

function totalSeconds(cost) {
  return cost.generate_seconds === null ? null : (cost.fit_seconds ?? 0) + cost.generate_seconds;
}

function drawCost(board, view) {
  const entries = measured(board, view, [HEADLINE]).filter((entry) => entry.role === "method" || entry.method === "backbone").filter((entry) => totalSeconds(view[entry.id].cost) > 0);
  const traces = entries.map((entry) => {
    const row = view[entry.id].metrics[HEADLINE];
    const point = marker(board, entry);
    return { x: [totalSeconds(view[entry.id].cost)], y: [row.mean], error_y: { ...whiskers(row), color: point.color }, mode: "markers", name: plain(entry.label), marker: point,
      hovertemplate: `<b>${plain(entry.label)}</b><br>%{x:.3s} s<br>fidelity %{y:.3f}<extra></extra>` };
  });
  return { traces, layout: { xaxis: { type: "log", title: { text: "Seconds per reference and clip" } }, yaxis: { title: { text: "Motion fidelity" } } } };
}

function byFidelity(board, view) {
  return measured(board, view, [HEADLINE]).toSorted((a, b) => view[a.id].metrics[HEADLINE].mean - view[b.id].metrics[HEADLINE].mean);
}

function drawProfile(board) {
  const views = board.categories.map((category) => board.views[`${state.level}|${category}`]);
  if (views.some((view) => !view)) return null;
  const value = (entry, view) => view[entry.id].metrics[HEADLINE]?.normalized ?? null;
  const entries = shownEntries(board).filter((e) => e.role === "method" || e.method === "backbone").filter((e) => views.some((v) => value(e, v) !== null))
    .toSorted((a, b) => (value(a, views[0]) ?? -9) - (value(b, views[0]) ?? -9));
  if (!entries.length) return { traces: [], why: "There is no floor and ceiling control here to normalize with." };
  const z = entries.map((entry) => views.map((view) => value(entry, view)));
  const trace = { type: "heatmap", z, x: board.categories.map((name) => (name === DATA.all ? "All" : titled(name))), y: entries.map((entry) => plain(entry.label)), zmin: 0, zmax: 1,
    colorscale: "Cividis", text: z.map((line) => line.map((v) => (v === null ? "" : fixed(v, 2)))), texttemplate: "%{text}", xgap: 2, ygap: 2,
    hovertemplate: "<b>%{y}</b><br>%{x}: %{z:.3f}<extra></extra>", colorbar: { thickness: 10, outlinewidth: 0 }, showscale: !NARROW.matches };
  return { traces: [trace], layout: { xaxis: { showgrid: false, side: "top" }, yaxis: { showgrid: false }, margin: { l: 56, r: 12, t: TOOLBAR + 28, b: 12 } } };
}

function drawEnds(board, view) {
  const entries = byFidelity(board, view);
  const rows = entries.map((entry) => view[entry.id].metrics[HEADLINE]);
  const names = entries.map((entry) => plain(entry.label));
  const held = rows.map((row) => row.floor !== null && row.ceiling !== null);
  const bars = { type: "bar", orientation: "h", y: names.filter((_, i) => held[i]), base: rows.filter((_, i) => held[i]).map((row) => row.floor),
    x: rows.filter((_, i) => held[i]).map((row) => row.ceiling - row.floor), marker: { color: ink("--line") }, width: 0.5, name: "floor to ceiling", hoverinfo: "skip" };
  const dots = { type: "scatter", mode: "markers", y: names, x: rows.map((row) => row.mean), showlegend: false,
    marker: { size: 9, color: entries.map((e) => styleOf(board, e).color), symbol: entries.map((e) => styleOf(board, e).symbol), line: { width: 1, color: ink("--paper") } },
    error_x: { type: "data", symmetric: false, thickness: 1.2, width: 3, color: ink("--quiet"), array: rows.map((r) => (r.low === null ? 0 : r.high - r.mean)), arrayminus: rows.map((r) => (r.low === null ? 0 : r.mean - r.low)) },
    hovertemplate: "<b>%{y}</b><br>%{x:.3f}<extra></extra>" };
  return { traces: rows.length ? [bars, dots] : [], layout: { xaxis: { title: { text: "Motion fidelity" } }, yaxis: { type: "category" }, showlegend: false, height: Math.max(300, 60 + 26 * rows.length) } };
}

async function drawStrip(board, view) {
  const attempts = (await loadAttempts()).boards[board.id];
  const entries = byFidelity(board, view).reverse();
  const points = {};
  entries.forEach((entry, column) => {
    const lines = attempts.entries[entry.id];
    const scores = scoresByRecord(lines);
    lines.records.forEach((record, index) => {
      const value = record.status === "ok" ? scores.get(record.key)?.[HEADLINE]?.value ?? null : null;
      const level = attempts.cases[record.case_id]?.level ?? null;
      if (value === null || (state.category !== DATA.all && record.category !== state.category) || (state.level !== DATA.all && level !== state.level)) return;
      const group = (points[record.category] ??= { x: [], y: [], text: [], customdata: [] });
      group.x.push(column + 0.56 * (scatterOf(index) - 0.5));
      group.y.push(value);
      group.text.push(plain(`${entry.label}, ${record.case_id}, seed ${record.seed}`));
      group.customdata.push([entry.id, record.key]);
    });
  });
  const traces = Object.entries(points).sort().map(([category, group]) => ({ ...group, type: "scatter", mode: "markers", name: titled(category), hovertemplate: "%{text}<br>%{y:.3f}<extra></extra>",
    marker: { size: 5, opacity: isDark() ? 0.9 : 0.65, color: CATEGORY_COLORS[category] ?? PALETTE[7], symbol: SYMBOLS[Object.keys(CATEGORY_COLORS).indexOf(category)] ?? "x" } }));
  const onClick = ({ points: [point] }) => openClips(board, board.entries.find((entry) => entry.id === point.customdata[0]), point.customdata[1]);
  const ticks = { tickmode: "array", tickvals: entries.map((_, index) => index), ticktext: entries.map((entry) => plain(entry.label)), showgrid: false, zeroline: false };
  return { traces, onClick, layout: { xaxis: ticks, yaxis: { title: { text: "Motion fidelity" } }, hovermode: "closest", legend: { orientation: "h", y: 1.02, yanchor: "bottom", itemsizing: "constant" }, margin: { l: 56, r: 12, t: TOOLBAR + 44, b: 60 } } };
}

// An even spread in [0, 1) that looks random and is the same each time: multiples of the golden ratio.
function scatterOf(index) {
  return (index * 0.6180339887) % 1;
}
