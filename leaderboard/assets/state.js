// What the reader chose. It lives in the address (#category=camera&...), so that a view can be shared.

const DATA = JSON.parse(document.getElementById("page-data").textContent);
const HEADLINE = DATA.headline;
const LEADING_METRICS = DATA.leading; // shown at first, in this order; all others start hidden
const TEXT_METRIC = LEADING_METRICS.find((name) => DATA.boards.some((board) => board.metrics[name]?.measures === "text"));
const NARROW = window.matchMedia("(max-width: 700px)");

const DEFAULTS = {
  category: DATA.all, level: DATA.all, backbone: "", training: "", start: "", relative: "",
  sort: "", columns: "", weights: "",
};
const state = { ...DEFAULTS };
const listeners = [];

function onChange(listener) {
  listeners.push(listener);
}

function change(part) {
  Object.assign(state, part);
  writeAddress();
  for (const listener of listeners) listener(part);
}

function readAddress() {
  const chosen = new URLSearchParams(location.hash.slice(1));
  for (const key of Object.keys(DEFAULTS)) state[key] = chosen.get(key) ?? DEFAULTS[key];
  if (!everyCategory().includes(state.category)) state.category = DATA.all;
  if (!everyLevel().includes(state.level)) state.level = DATA.all;
}

function writeAddress() {
  const chosen = new URLSearchParams();
  for (const [key, value] of Object.entries(state)) if (value !== DEFAULTS[key]) chosen.set(key, value);
  const hash = chosen.toString();
  history.replaceState(null, "", hash ? `#${hash}` : location.pathname + location.search);
}

function everyCategory() {
  return [...new Set(DATA.boards.flatMap((board) => board.categories))];
}

function everyStart() {
  const methods = DATA.boards.flatMap((board) => board.entries).filter((entry) => entry.role === "method" && entry.contract);
  return [...new Set(methods.map((entry) => entry.contract.start_latent))].sort();
}

function everyLevel() {
  return [...new Set(DATA.boards.flatMap((board) => board.levels))];
}

// A board without the chosen level or category has no such view: it is then said to be empty, not shown as another.
function viewOf(board) {
  return board.views[`${state.level}|${state.category}`] ?? null;
}

function shownBoards() {
  return DATA.boards.filter((board) => !state.backbone || board.backbone === state.backbone);
}

// Controls pass every filter: a number without its floor and ceiling says little.
function passes(entry) {
  if (entry.role !== "method") return true;
  const { trains = null, start_latent: start = "" } = entry.contract ?? {};
  return (!state.training || trains === (state.training === "trained")) && (!state.start || start === state.start);
}

function shownEntries(board) {
  return board.entries.filter(passes);
}

// "metric:weight,..." to { metric: weight }, zero weights left out.
function weights() {
  const pairs = state.weights.split(",").filter(Boolean).map((pair) => pair.split(":"));
  return Object.fromEntries(pairs.map(([name, weight]) => [name, Number(weight)]).filter(([, w]) => w > 0));
}

// The reader's own total: weighted mean of normalized scores; null where one of them is missing.
function ownTotal(cells) {
  const chosen = Object.entries(weights());
  if (chosen.length === 0) return null;
  let sum = 0;
  let whole = 0;
  for (const [name, weight] of chosen) {
    const value = cells.metrics[name]?.normalized ?? null;
    if (value === null) return null;
    sum += weight * value;
    whole += weight;
  }
  return sum / whole;
}
