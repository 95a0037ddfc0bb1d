// One table per board: ceiling controls above, floor controls below, methods between, in the order asked for.

const DEFAULT_SORT = { column: "rank", descending: false };

function sortOf(board) {
  const [column, direction] = state.sort.split(":");
  const known = columnsOf(board).some((c) => c.id === column);
  return known ? { column, descending: direction === "down" } : DEFAULT_SORT;
}

function sortedEntries(board, view) {
  const columns = columnsOf(board);
  const { column, descending } = sortOf(board);
  const by = columns.find((c) => c.id === column);
  // Equal ranks stand in the order of the headline metric, best first.
  const best = board.metrics[HEADLINE]?.better === "lower" ? 1 : -1;
  const tie = (entry) => view[entry.id].metrics[HEADLINE]?.mean ?? null;
  const order = (a, b) =>
    compareValues(by.value(a, view[a.id]), by.value(b, view[b.id]), descending) ||
    compareValues(tie(a), tie(b), best < 0) || (a.label < b.label ? -1 : 1);
  return shownEntries(board).toSorted(order);
}

// Missing values come last in either direction.
function compareValues(a, b, descending) {
  if (a === b) return 0;
  if (a === null) return 1;
  if (b === null) return -1;
  const order = typeof a === "number" ? a - b : String(a).localeCompare(String(b), "en");
  return descending ? -order : order;
}

// Columns give way one by one until every table fits: half a column at the edge looks like the table's end.
function renderBoards() {
  crowdedOut.clear();
  drawBoards();
  for (const column of state.columns ? [] : GIVE_WAY) {
    if ([...document.querySelectorAll(".table-scroll")].every((box) => box.scrollWidth <= box.clientWidth)) return;
    crowdedOut.add(column);
    drawBoards();
  }
}

function drawBoards() {
  const sections = shownBoards().map(renderBoard);
  const several = sections.length > 1
    ? make("p", { class: "quiet" }, "Each table is a world of its own: numbers of different backbones, splits, versions or trackers do not compare.")
    : null;
  document.getElementById("boards").replaceChildren(...[several, ...sections].filter(Boolean));
}

function renderBoard(board) {
  const view = viewOf(board);
  const title = make("h2", {}, foreign(board.backbone), " · ", foreign(board.split));
  const facts = [
    `${plural(board.cases, "case")} of ${plural(board.references, "reference")}`, `revision ${board.revision}`,
    board.weights ? `backbone revision ${board.weights.slice(0, 16)}` : null, `benchmark ${board.version}`,
    board.tracker ? `tracker ${board.tracker}` : "no tracker", board.licenses.length ? `references: ${board.licenses.join(", ")}` : null,
  ];
  const head = make("div", { class: "board-head" }, title, make("p", { class: "quiet" }, facts.filter(Boolean).join(" · ")));
  if (view === null) return make("section", { class: "board" }, head, make("p", {}, "No results in this category or at this level."));
  return make("section", { class: "board", id: `board-${board.id}`, data: { board: board.id } }, head, renderTable(board, view), boardButtons(board));
}

function renderTable(board, view) {
  const columns = columnsOf(board).filter(isShown);
  const entries = sortedEntries(board, view);
  const group = (roles, name) => {
    const rows = entries.filter((entry) => roles.includes(entry.role)).map((entry) => renderRow(board, entry, view, columns));
    return rows.length ? make("tbody", { class: name }, rows) : null;
  };
  const caption = make("caption", { class: "visually-hidden" }, `${board.backbone}, ${board.split}: ${describeView()}`);
  const table = make("table", {}, caption, make("thead", {}, make("tr", {}, columns.map((column) => renderHeading(board, column)))),
    group(["ceiling"], "controls ceilings"), group(["method"], "methods"), group(["control", "floor"], "controls floors"));
  return make("div", { class: "table-scroll", tabindex: "0", role: "region", "aria-label": `Table of ${board.backbone}, ${board.split}` }, table);
}

function describeView() {
  const level = state.level === DATA.all ? "all prompts" : `${state.level} prompts`;
  const category = state.category === DATA.all ? "all categories" : words(state.category);
  return `${category}, ${level}${state.relative ? ", relative to the backbone" : ""}`;
}

function renderHeading(board, column) {
  const { column: sorted, descending } = sortOf(board);
  const isSorted = sorted === column.id;
  const sign = make("span", { class: "sort-sign", "aria-hidden": "true" }, isSorted ? (descending ? "▼" : "▲") : "");
  const button = make("button", { type: "button", title: column.help, data: { sort: column.id }, on: { click: () => sortBy(board, column) } }, column.title, sign);
  return make("th", {
    scope: "col", class: column.numeric ? "numeric" : null, data: { column: column.id },
    "aria-sort": isSorted ? (descending ? "descending" : "ascending") : "none",
  }, button);
}

function sortBy(board, column) {
  const { column: sorted, descending } = sortOf(board);
  // A first click shows the best first.
  const down = sorted === column.id ? !descending : Boolean(column.numeric && !column.ascending);
  change({ sort: `${column.id}:${down ? "down" : "up"}` });
  announce(`Sorted by ${column.title}, ${down ? "descending" : "ascending"}`);
  document.querySelector(`[data-board="${board.id}"] [data-sort="${column.id}"]`)?.focus();
}

function renderRow(board, entry, view, columns) {
  const cells = view[entry.id];
  const row = make("tr", { data: { entry: entry.id }, class: cells.attempts.complete ? null : "partial" });
  for (const column of columns) {
    const value = column.value(entry, cells);
    row.append(make(column.isHeader ? "th" : "td", {
      scope: column.isHeader ? "row" : null, class: column.numeric ? "numeric" : null,
      data: { column: column.id, value: value ?? "" },
    }, column.node(entry, cells, view)));
  }
  row.addEventListener("click", (event) => {
    if (!window.getSelection().toString() || event.target.closest("button")) openClips(board, entry);
  });
  return row;
}
