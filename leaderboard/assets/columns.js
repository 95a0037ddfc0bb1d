// The columns of a table: what each cell is worth (for sorting and CSV), how it reads, and what its heading says.
// value: number, string or null. fields: what the CSV gets, name -> value. node: what the cell shows.

function columnsOf(board) {
  const metrics = Object.keys(board.metrics);
  return [
    rankColumn(), methodColumn(), ...(Object.keys(weights()).length ? [totalColumn()] : []),
    ...(metrics.includes(HEADLINE) ? [normalizedColumn(board), supportColumn()] : []),
    ...orderedMetrics(metrics).map((name) => metricColumn(board, name)),
    attemptsColumn(), trainedColumn(), startColumn(),
    costColumn("fit_seconds", "Fit s", "Mean seconds to tune or prepare the method for one reference."),
    costColumn("generate_seconds", "Clip s", "Mean seconds to generate one clip."),
    memoryColumn(), gateColumn(),
    textColumn("backbone", "Backbone", () => board.backbone, "The text-to-video model below the method."),
    textColumn("license", "License", (entry) => entry.license, "License of the package that brings the method."),
    commitColumn(),
    textColumn("date", "Date", (entry) => entry.date || null, "Day of the newest attempt."),
  ];
}

const HIDDEN_AT_FIRST = ["backbone", "date"];
const NARROW_COLUMNS = ["rank", "method", "total", "normalized", TEXT_METRIC];
// What is left out, the first first, where the table is wider than the page; the reader's own choice of columns stays.
const GIVE_WAY = ["license", "peak_memory_bytes", "fit_seconds", "start_latent", ...LEADING_METRICS.filter((name) => name !== HEADLINE).reverse()];
const crowdedOut = new Set();

// The metrics that answer the page's questions come first; all others follow, and start hidden.
function orderedMetrics(names) {
  const rest = names.filter((name) => !LEADING_METRICS.includes(name)).sort();
  return [...LEADING_METRICS.filter((name) => names.includes(name)), ...rest];
}

function isShown(column) {
  if (state.columns) return state.columns.split(",").includes(column.id);
  if (crowdedOut.has(column.id)) return false;
  if (NARROW.matches) return NARROW_COLUMNS.includes(column.id);
  const isExtraMetric = column.metric && !LEADING_METRICS.includes(column.metric);
  return !isExtraMetric && !HIDDEN_AT_FIRST.includes(column.id);
}

function rankColumn() {
  return {
    id: "rank", title: "Rank", numeric: true, ascending: true,
    help: "By the mean of motion fidelity; below it the ranks that 95% of resamples of the references give.",
    value: (entry, cells) => cells.rank ?? null,
    fields: (entry, cells) => ({ rank: cells.rank ?? null, rank_low: cells.rank_low ?? null, rank_high: cells.rank_high ?? null }),
    node(entry, cells, view) {
      if (cells.rank === null || cells.rank === undefined) return make("span", { title: unrankedBecause(entry, cells) }, ABSENT);
      const others = Object.values(view).filter((other) => other.rank === cells.rank).length > 1;
      const { rank_low: low, rank_high: high } = cells;
      const said = low === null ? "fewer than two references in a category: no range of ranks" : `95% of resamples of the references give rank ${low === high ? low : `${low} to ${high}`}`;
      const range = low === null ? null : make("small", {}, low === high ? `${low}` : `${low}–${high}`);
      return make("span", { class: "measured", title: said }, make("span", {}, `${cells.rank}${others ? " =" : ""}`), range);
    },
  };
}

function unrankedBecause(entry, cells) {
  if (entry.role !== "method") return "a control, not a competitor";
  return cells.attempts.complete ? "motion fidelity could not be measured in every category" : "not every case was attempted";
}

function methodColumn() {
  return {
    id: "method", title: "Method", help: "Open to see its clips.", isHeader: true,
    value: (entry) => entry.label,
    node(entry, cells) {
      const name = make("button", { type: "button", class: "link", title: entry.summary || null, data: { open: entry.id } }, foreign(entry.label));
      const role = entry.role === "method" ? null : make("span", { class: `tag ${entry.role}` }, entry.role);
      const partial = cells.attempts.complete ? null : make("span", { class: "tag warn", title: "not every case was attempted" }, "partial");
      return make("span", { class: "method" }, name, role, partial);
    },
  };
}

function totalColumn() {
  return {
    id: "total", title: "Your total", numeric: true, help: "Mean of normalized scores with your weights; not the benchmark's.",
    value: (entry, cells) => ownTotal(cells),
    node: (entry, cells) => fixed(ownTotal(cells)),
  };
}

function normalizedColumn(board) {
  return {
    id: "normalized", title: "Fidelity, normalized", numeric: true, metric: HEADLINE,
    help: "Motion fidelity with 0 at the floor control and 1 at the ceiling control; the bar shows the 95% interval.",
    value: (entry, cells) => cells.metrics[HEADLINE]?.normalized ?? null,
    fields: (entry, cells) => spread("normalized", cells.metrics[HEADLINE], "normalized", "normalized_low", "normalized_high"),
    node(entry, cells) {
      const row = cells.metrics[HEADLINE];
      const value = row?.normalized ?? null;
      if (value === null) return ABSENT;
      return make("span", { class: "gauge-cell" }, make("span", {}, fixed(value, 2)), gauge(value, row.normalized_low, row.normalized_high, entry.role));
    },
  };
}

function supportColumn() {
  const support = (cells) => cells.metrics[HEADLINE]?.support ?? null;
  return {
    id: "support", title: "Tracks kept", numeric: true,
    help: "What motion fidelity rests on: mean share of the tracked points that stay in sight, in the clip of each pair that keeps fewer.",
    value: (entry, cells) => support(cells),
    node: (entry, cells) => (support(cells) === null ? ABSENT : `${Math.round(100 * support(cells))}%`),
  };
}

// A bar from 0 to 1 with the value and its interval: differences are seen before they are read.
function gauge(value, low, high, role) {
  const x = (v) => 4 + 92 * Math.min(1.08, Math.max(-0.08, v));
  const svg = makeSvg("svg", { viewBox: "-4 0 108 14", class: role === "method" ? "gauge" : "gauge pinned", "aria-hidden": "true", preserveAspectRatio: "none" });
  svg.append(makeSvg("line", { x1: x(0), x2: x(1), y1: 7, y2: 7, class: "track" }));
  for (const end of [0, 1]) svg.append(makeSvg("line", { x1: x(end), x2: x(end), y1: 3, y2: 11, class: "end" }));
  if (low !== null) svg.append(makeSvg("rect", { x: x(low), width: Math.max(1, x(high) - x(low)), y: 4, height: 6, class: "range" }));
  svg.append(makeSvg("rect", { x: x(value) - 1.5, width: 3, y: 1, height: 12, class: "value" }));
  return svg;
}

const ARROWS = { higher: "↑", lower: "↓", zero: "→0", none: "" };

function metricColumn(board, name) {
  const info = board.metrics[name];
  return {
    id: name, metric: name, numeric: true, ascending: ["lower", "zero"].includes(info.better),
    title: `${info.title}\u00a0${ARROWS[info.better]}`.trim(),
    help: `${info.summary}${info.better === "zero" ? " Mean distance from zero; below it the mean with its sign." : ""} Version ${info.version}${info.unit ? `, unit ${info.unit}` : ""}${info.models.length ? `, by ${info.models.join(", ")}` : ""}.`,
    value: (entry, cells) => metricPart(entry, cells, name)?.value ?? null,
    fields: (entry, cells) => {
      const part = metricPart(entry, cells, name);
      const signed = info.better === "zero" && !state.relative ? { [`${name}_signed`]: part?.signed ?? null } : {};
      return { ...spread(name, part, "value", "low", "high"), ...signed };
    },
    node(entry, cells) {
      const part = metricPart(entry, cells, name);
      if (!part || part.value === null) return make("span", { title: "not measured" }, ABSENT);
      const sign = Boolean(state.relative);
      const counts = `${part.n} values${part.n_failed ? `, ${part.n_failed} missing` : ""}`;
      // Failed attempts have no value in any column, and are told once, under Done; here stands what else is missing.
      const unmeasured = part.n_failed - cells.attempts.failed;
      const missing = unmeasured > 0 ? make("small", { class: "missing", title: counts }, `${unmeasured} unmeasured`) : null;
      const whiskers = make("small", {}, interval(part.low, part.high, 3, sign));
      const signed = (part.signed ?? null) === null ? null : make("small", { title: "mean with its sign" }, fixed(part.signed, 3, true));
      return make("span", { class: "measured", title: counts }, make("span", {}, fixed(part.value, 3, sign)), whiskers, signed, missing);
    },
  };
}

// The number that a metric's cell shows: the mean, or its paired difference to the backbone.
function metricPart(entry, cells, name) {
  const row = cells.metrics[name];
  if (!state.relative) return row ? { value: row.mean, low: row.low, high: row.high, n: row.n, n_failed: row.n_failed, signed: row.signed } : null;
  if (entry.method === "backbone") return { value: 0, low: null, high: null, n: row?.n ?? 0, n_failed: 0 };
  const gap = cells.relative[name];
  return gap ? { value: gap.difference, low: gap.low, high: gap.high, n: gap.pairs, n_failed: 0 } : null;
}

function spread(name, part, value, low, high) {
  const suffix = state.relative && name !== "normalized" ? "_vs_backbone" : "";
  return {
    [name + suffix]: part?.[value] ?? null, [`${name}${suffix}_low`]: part?.[low] ?? null, [`${name}${suffix}_high`]: part?.[high] ?? null,
  };
}

function attemptsColumn() {
  return {
    id: "done", title: "Done", numeric: true, help: "Clips made, of those planned; failures with their reasons are in the clips.",
    value: (entry, cells) => cells.attempts.done,
    fields: (entry, cells) => ({ done: cells.attempts.done, planned: cells.attempts.planned, failed: cells.attempts.failed }),
    node(entry, cells) {
      const { done, failed, planned } = cells.attempts;
      const reasons = Object.entries(entry.reasons).map(([reason, count]) => `${count} ${reason}`).join(", ");
      const bad = failed ? make("small", { class: "missing", title: reasons }, `${failed} failed`) : null;
      return make("span", { class: "measured" }, make("span", {}, `${done}/${planned ?? "?"}`), bad);
    },
  };
}

function trainedColumn() {
  return textColumn("trained", "Trained?", (entry) => (entry.contract ? (entry.contract.trains ? "per clip" : "no") : null),
    "Whether the method is tuned on every reference clip.", "?");
}

function startColumn() {
  return textColumn("start_latent", "Start latent", (entry) => (entry.contract ? words(entry.contract.start_latent) : null),
    "What sampling starts from: a start from the reference can leak its look.", "?");
}

function gateColumn() {
  return {
    id: "gate", title: "Gate", help: "The reversed-reference gate: does the output follow the direction of its reference?",
    value: (entry) => (entry.role === "method" ? entry.gate ?? "not gated" : null),
    node(entry) {
      if (entry.role !== "method") return ABSENT;
      return make("span", { class: `tag ${entry.gate ?? ""}`, title: entry.gate_note || null }, entry.gate ?? "not gated");
    },
  };
}

function costColumn(key, title, help) {
  return {
    id: key, title, help, numeric: true, ascending: true,
    value: (entry, cells) => cells.cost[key],
    node: (entry, cells) => seconds(cells.cost[key]),
  };
}

function memoryColumn() {
  return {
    id: "peak_memory_bytes", title: "Peak GiB", numeric: true, ascending: true, help: "Greatest memory of an attempt, in GiB.",
    value: (entry, cells) => cells.cost.peak_memory_bytes,
    node: (entry, cells) => gibibytes(cells.cost.peak_memory_bytes),
  };
}

function textColumn(id, title, value, help, absent = ABSENT) {
  return { id, title, help, value, node: (entry) => { const text = value(entry); return text === null ? absent : foreign(text); } };
}

function commitColumn() {
  return {
    id: "commit", title: "Commit", help: "Commit that made the results (* with uncommitted changes), and the day of the newest attempt.",
    value: commitOf,
    fields: (entry) => ({ commit: commitOf(entry), date: entry.date || null }),
    node: (entry) => make("span", { class: "stacked" }, make("span", {}, foreign(commitOf(entry) ?? ABSENT)), make("small", {}, entry.date || null)),
  };
}

function commitOf(entry) {
  return entry.commits.length ? entry.commits.join(", ") + (entry.dirty ? "*" : "") : null;
}
