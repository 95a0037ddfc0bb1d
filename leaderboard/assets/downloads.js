// Files out of the page: the table as shown (CSV), the lines as the results folders have them (JSONL).

function boardButtons(board) {
  const button = (text, help, action) => make("button", { type: "button", class: "ghost", title: help, on: { click: action } }, text);
  return make("p", { class: "downloads" },
    button("Table as CSV", "The rows and columns shown, in their order, in full precision.", () => saveText(`${fileStem(board)}.csv`, tableToCsv(board), "text/csv")),
    button("Records as JSONL", "Every attempt, one a line.", () => saveLines(board, "records")),
    button("Scores as JSONL", "Every score, one a line.", () => saveLines(board, "scores")));
}

function fileStem(board) {
  return `motionbench-${board.backbone}-${board.split}-${board.revision}`.replace(/[^\w.-]+/g, "_");
}

function tableToCsv(board) {
  const view = viewOf(board);
  const columns = columnsOf(board).filter(isShown);
  const pinned = ["ceiling", "method", "control", "floor"];
  const order = (entry) => (entry.role === "ceiling" ? 0 : entry.role === "method" ? 1 : 2);
  const entries = sortedEntries(board, view).filter((e) => pinned.includes(e.role)).toSorted((a, b) => order(a) - order(b));
  const rows = entries.map((entry) => Object.assign({}, ...columns.map((column) =>
    column.fields ? column.fields(entry, view[entry.id]) : { [column.id]: column.value(entry, view[entry.id]) })));
  const names = [...new Set(rows.flatMap(Object.keys))];
  return [names, ...rows.map((row) => names.map((name) => row[name]))].map((line) => line.map(csvField).join(",")).join("\r\n") + "\r\n";
}

// Quoted where needed; a text that a spreadsheet would run as a formula gets an apostrophe.
function csvField(value) {
  if (value === null || value === undefined) return "";
  if (typeof value === "number") return String(value);
  const text = /^[=+\-@\t\r]/.test(value) ? `'${value}` : value;
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

async function saveLines(board, kind) {
  const attempts = (await loadAttempts()).boards[board.id];
  const lines = Object.values(attempts.entries).flatMap((entry) => entry[kind]);
  saveText(`${fileStem(board)}-${kind}.jsonl`, lines.map((line) => `${JSON.stringify(line)}\n`).join(""), "application/jsonl");
}

function saveText(name, text, type) {
  const address = URL.createObjectURL(new Blob([text], { type }));
  make("a", { href: address, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(address), 10000);
}
