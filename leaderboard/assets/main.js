// Puts the page together. Everything above only declares.

function renderMasthead() {
  const methods = new Set(DATA.boards.flatMap((board) => board.entries).filter((entry) => entry.role === "method").map((entry) => entry.method));
  const references = Math.max(0, ...DATA.boards.map((board) => board.references));
  document.getElementById("title").textContent = DATA.title;
  const facts = [plural(methods.size, "method"), `${DATA.boards.length > 1 ? "up to " : ""}${plural(references, "reference")}`, DATA.newest ? `newest result ${DATA.newest.slice(0, 10)}` : null];
  document.getElementById("subtitle").textContent = facts.filter(Boolean).join(" · ");
  document.getElementById("colophon").textContent = `Made by ${DATA.software} from result files alone. Every number was computed by the suite; this page only sorts, filters and draws.`;
}

function renderNotes() {
  const section = document.getElementById("notes");
  section.hidden = DATA.notes.length === 0;
  document.getElementById("note-list").replaceChildren(...DATA.notes.map((note) => make("li", {}, foreign(note))));
}

function start() {
  readAddress();
  renderMasthead();
  renderNotes();
  renderBoards();
  renderFilters(); // after the tables: its list of columns says which are shown
  prepareTheme();
  prepareClips();
  onChange((part) => {
    renderBoards();
    if (["category", "level", "backbone", "training", "start"].some((key) => key in part)) redrawFigures();
  });
  NARROW.addEventListener("change", redrawFigures);
  let width = window.innerWidth;
  window.addEventListener("resize", () => {
    if (window.innerWidth === width) return;
    width = window.innerWidth;
    renderBoards();
    renderFilters();
  });
  window.addEventListener("hashchange", () => { readAddress(); renderBoards(); renderFilters(); redrawFigures(); });
  // Figures need the text of plotly's script, which comes last.
  window.addEventListener("DOMContentLoaded", prepareFigures);
  performance.mark("interactive");
}

start();
