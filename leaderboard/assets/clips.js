// Row -> clips -> players: the evidence behind a number.

const WORST_FIRST = "worst";
let openPlayers = null;
let dialogState = null; // { board, entry, attempts, lines, scores, order, index }

async function openClips(board, entry, recordKey = null) {
  const attempts = await loadAttempts();
  const own = attempts.boards[board.id];
  const lines = own.entries[entry.id];
  dialogState = { board, entry, attempts, own, lines, scores: scoresByRecord(lines), order: "case", only: "all", key: recordKey };
  const dialog = document.getElementById("clips");
  dialog.replaceChildren(clipsHead(), make("div", { class: "clips-body" }, make("div", { class: "clip-list" }), make("div", { class: "clip-view" })));
  renderClipList();
  if (!dialog.open) dialog.showModal();
  dialog.focus(); // else the first button has the focus, which closes, and the space that should play would press it
  showClip(recordKey ?? shownRecords()[0]?.key ?? null);
}

function clipsHead() {
  const { board, entry } = dialogState;
  const close = make("button", { type: "button", class: "ghost", id: "clips-close", on: { click: closeClips } }, "Close");
  const where = `${board.backbone} · ${board.split} · ${describeView()}`;
  return make("div", { class: "clips-head" }, make("div", {}, make("h2", { id: "clips-title" }, "Clips of ", foreign(entry.label)), make("p", { class: "quiet" }, where)), close);
}

function closeClips() {
  openPlayers?.close();
  openPlayers = null;
  document.getElementById("clips").close();
}

function matchesView(record) {
  const level = dialogState.own.cases[record.case_id]?.level ?? null;
  return (state.category === DATA.all || record.category === state.category) && (state.level === DATA.all || level === state.level);
}

function headlineOf(record) {
  return record.status === "ok" ? dialogState.scores.get(record.key)?.[HEADLINE]?.value ?? null : null;
}

function shownRecords() {
  const { lines, order, only } = dialogState;
  const kept = lines.records.filter((record) => matchesView(record) && (only === "all" || record.status === "failed"));
  if (order === "case") return kept;
  const descending = (dialogState.board.metrics[HEADLINE]?.better === "lower") === (order === WORST_FIRST);
  return kept.toSorted((a, b) => compareValues(headlineOf(a), headlineOf(b), descending));
}

function renderClipList() {
  const records = shownRecords();
  const pick = (key, label, options) => {
    const select = make("select", { "aria-label": label, on: { change: (event) => { dialogState[key] = event.target.value; renderClipList(); markClip(); } } },
      options.map(([value, text]) => make("option", { value }, text)));
    select.value = dialogState[key];
    return select;
  };
  const bar = make("div", { class: "clip-filter" },
    pick("order", "Order of the clips", [["case", "In order"], [WORST_FIRST, "Worst first"], ["best", "Best first"]]),
    pick("only", "Which clips", [["all", "All clips"], ["failed", "Failures only"]]));
  const items = records.map((record) => make("li", {}, clipButton(record)));
  const list = items.length ? make("ol", {}, items) : make("p", { class: "quiet" }, dialogState.only === "failed" ? "No failures here." : "No clips in this view.");
  document.querySelector("#clips .clip-list").replaceChildren(bar, make("p", { class: "quiet count" }, plural(records.length, "clip")), list);
}

function clipButton(record) {
  const prompt = dialogState.own.cases[record.case_id]?.prompt ?? "";
  const value = record.status === "failed" ? make("span", { class: "tag unvalidated" }, record.reason) : make("span", { class: "number" }, fixed(headlineOf(record), 2));
  const name = make("span", { class: "clip-name" }, make("b", {}, `${record.case_id} · seed ${record.seed}`), foreign(prompt, { class: "clip-prompt" }));
  return make("button", { type: "button", data: { key: record.key }, on: { click: () => showClip(record.key) } }, name, value);
}

function markClip() {
  for (const button of document.querySelectorAll("#clips .clip-list [data-key]")) {
    const isCurrent = button.dataset.key === dialogState.key;
    button.setAttribute("aria-current", isCurrent ? "true" : "false");
    if (isCurrent) keepInSight(button, button.closest(".clip-list"));
  }
}

// Scrolls the list alone: `scrollIntoView` would also move the players away on a small screen.
function keepInSight(item, list) {
  const [inner, outer] = [item.getBoundingClientRect(), list.getBoundingClientRect()];
  if (inner.top < outer.top) list.scrollTop -= outer.top - inner.top;
  else if (inner.bottom > outer.bottom) list.scrollTop += inner.bottom - outer.bottom;
}

function moveClip(by) {
  const records = shownRecords();
  const index = records.findIndex((record) => record.key === dialogState.key);
  const next = records[Math.min(records.length - 1, Math.max(0, index + by))];
  if (next) showClip(next.key);
}

function showClip(key) {
  openPlayers?.close();
  openPlayers = null;
  dialogState.key = key;
  const record = dialogState.lines.records.find((one) => one.key === key);
  const view = document.querySelector("#clips .clip-view");
  if (!record) {
    view.replaceChildren(make("p", { class: "quiet" }, "No clip to show."));
    return;
  }
  const held = view.contains(document.activeElement) ? document.activeElement.title : null;
  view.replaceChildren(...[playerArea(record), failureNote(record), wordsOf(record), numbersOf(record)].filter(Boolean));
  // What had the focus is gone: its successor gets it, so that the keys still go to this dialog.
  if (held !== null) ([...view.querySelectorAll("button")].find((one) => held && one.title === held) ?? document.getElementById("clips")).focus();
  view.scrollTop = view.parentElement.scrollTop = 0;
  markClip();
}

// The three players and what drives them; a sentence in place of a video that is not here.
function playerArea(record) {
  const { attempts, own } = dialogState;
  const reference = own.references[record.case_id] ?? null;
  const generated = own.generated[record.key] ?? null;
  const facts = attempts.video_facts[generated ?? reference] ?? {};
  const layers = trackLayers(attempts, reference, generated);
  const canvas = make("canvas", { "aria-hidden": "true" });
  const shown = [
    playerBox("Reference", reference, "the motion to follow", record),
    playerBox("Generated", generated, "what the method made", record),
    playerBox("Tracks over it", generated, "point tracks drawn over the generated clip", record, canvas),
  ];
  const videos = shown.map((box) => box.querySelector("video")).filter(Boolean).reverse(); // the one under the tracks leads
  const area = make("div", { class: "players" }, shown);
  if (!videos.length) return area;
  const toggles = trackToggles(layers);
  const scrubber = make("input", { type: "range", min: 0, max: 1, step: "any", value: 0, class: "scrubber", "aria-label": "Position in the clip" });
  let drawn = null;
  openPlayers = new SyncedPlayers(videos, facts.fps, facts.frames, (progress) => {
    const wanted = `${progress} ${toggles.chosen().length} ${canvas.clientWidth}`;
    if (wanted === drawn) return;
    drawn = wanted;
    drawTracks(canvas, toggles.chosen(), progress);
    if (document.activeElement !== scrubber || openPlayers.wantsToPlay) scrubber.value = progress;
  });
  return make("div", {}, area, controlBar(openPlayers, scrubber), toggles.bar);
}

function playerBox(title, id, description, record, canvas = null) {
  const { attempts } = dialogState;
  const address = videoAddress(attempts, id);
  const facts = attempts.video_facts[id] ?? {};
  const heading = make("figcaption", {}, title);
  if (address === null) {
    const why = record.status === "failed" && title !== "Reference" ? "no video: the attempt failed" : "this video is not on the page";
    return make("figure", {}, heading, make("div", { class: "no-video" }, why));
  }
  const video = make("video", { src: address, muted: true, playsinline: true, preload: "auto", "aria-label": `${title}: ${description}, ${record.case_id}` });
  video.muted = true;
  const frame = make("div", { class: facts.width && facts.width <= 128 ? "screen pixels" : "screen" }, video, canvas);
  if (facts.width && facts.height) frame.style.aspectRatio = `${facts.width} / ${facts.height}`;
  video.addEventListener("error", () => {
    if (video.hasAttribute("src")) frame.replaceChildren(make("div", { class: "no-video" }, "this browser cannot play the file"));
  });
  return make("figure", {}, heading, frame);
}

function trackLayers(attempts, reference, generated) {
  return [
    { name: "generated", title: "Tracks of the generated clip", tracks: unpackTracks(attempts.tracks[generated]) },
    { name: "reference", title: "Tracks of the reference", tracks: unpackTracks(attempts.tracks[reference]) },
  ].map((layer) => ({ ...layer, color: TRACK_COLORS[layer.name] }));
}

function trackToggles(layers) {
  const boxes = new Map(layers.filter((layer) => layer.tracks).map((layer) => {
    const box = make("input", { type: "checkbox" });
    box.checked = layer.name === "generated";
    return [layer, box];
  }));
  const labels = [...boxes].map(([layer, box]) => {
    const swatch = make("span", { class: "swatch", "aria-hidden": "true" });
    swatch.style.background = layer.color;
    return make("label", {}, box, swatch, layer.title);
  });
  const none = make("p", { class: "quiet" }, "No tracks were packed for this clip.");
  return {
    bar: labels.length ? make("div", { class: "track-toggles" }, labels) : none,
    chosen: () => [...boxes].filter(([, box]) => box.checked).map(([layer]) => layer),
  };
}

function controlBar(players, scrubber) {
  const button = (text, label, action) => make("button", { type: "button", class: "ghost", "aria-label": label, title: label, on: { click: action } }, text);
  const toggle = () => {
    if (players.wantsToPlay) players.pause();
    else players.play();
    play.textContent = players.wantsToPlay ? "Pause" : "Play";
  };
  const play = button("Play", "Play or pause all (space)", toggle);
  play.id = "play-all";
  const step = (frames) => () => { players.step(frames); play.textContent = "Play"; };
  scrubber.addEventListener("input", () => { players.pause(); play.textContent = "Play"; players.seek(Number(scrubber.value) * players.duration); });
  const rate = make("select", { "aria-label": "Speed", on: { change: (event) => players.setRate(Number(event.target.value)) } },
    [[1, "1×"], [0.5, "½×"], [0.25, "¼×"]].map(([value, text]) => make("option", { value }, text)));
  const bar = make("div", { class: "player-controls" }, play, button("◂", "Previous frame (left arrow)", step(-1)),
    button("▸", "Next frame (right arrow)", step(1)), scrubber, rate,
    button("‹ Clip", "Previous clip (k)", () => moveClip(-1)), button("Clip ›", "Next clip (j)", () => moveClip(1)));
  Object.assign(bar, { toggle, back: step(-1), forward: step(1) });
  if (!window.matchMedia("(prefers-reduced-motion: reduce)").matches) toggle();
  return bar;
}

function failureNote(record) {
  if (record.status !== "failed") return null;
  return make("p", { class: "failure" }, make("b", {}, `Failed: ${words(record.reason)}. `), foreign(record.error ?? "no text was recorded"));
}

function wordsOf(record) {
  const shown = dialogState.own.cases[record.case_id];
  const lines = [
    ["Prompt", shown?.prompt ?? "not known here"], ["Caption of the reference", shown?.caption], ["Level", shown?.level],
    ["Case and seed", `${record.case_id}, seed ${record.seed}`], ["Reference", shown ? `${shown.license}; ${shown.source}` : null],
    ["Cost", costOf(record)], ["Video SHA-256", record.video_sha256],
  ].filter(([, text]) => text);
  return make("dl", { class: "facts" }, lines.map(([name, text]) => [make("dt", {}, name), make("dd", {}, foreign(text))]));
}

function costOf(record) {
  const parts = [];
  if (record.fit_seconds !== null) parts.push(`fit ${seconds(record.fit_seconds)} s`);
  if (record.generate_seconds !== null) parts.push(`sampling ${seconds(record.generate_seconds)} s`);
  if (record.peak_memory_bytes !== null) parts.push(`${gibibytes(record.peak_memory_bytes)} GiB`);
  return parts.join(", ");
}

function numbersOf(record) {
  const { board, scores } = dialogState;
  const own = scores.get(record.key) ?? {};
  const rows = orderedMetrics(Object.keys(board.metrics)).map((name) => {
    const score = own[name];
    const note = score ? score.note : record.status === "ok" ? "not scored" : "failed attempt";
    return make("tr", {}, make("th", { scope: "row" }, board.metrics[name].title), make("td", { class: "numeric" }, fixed(score?.value ?? null)),
      make("td", {}, foreign(note), detailsOf(score)));
  });
  const heads = ["Metric", "Value", "Note and details"].map((text) => make("th", { scope: "col" }, text));
  return make("table", { class: "numbers" }, make("caption", { class: "visually-hidden" }, "Numbers of this clip"), make("thead", {}, make("tr", {}, heads)), make("tbody", {}, rows));
}

function detailsOf(score) {
  const pairs = Object.entries(score?.details ?? {});
  if (!pairs.length) return null;
  const text = (value) => (typeof value === "number" ? fixed(value) : typeof value === "string" ? value : JSON.stringify(value));
  return make("small", { class: "details" }, pairs.map(([name, value]) => [make("span", {}, `${words(name)} `, foreign(text(value))), " "]));
}

function clipsKey(event) {
  if (!dialogState || event.target.matches("select, input[type=range]")) return;
  const bar = document.querySelector("#clips .player-controls");
  const actions = { " ": bar?.toggle, ArrowLeft: bar?.back, ArrowRight: bar?.forward, j: () => moveClip(1), k: () => moveClip(-1) };
  if (event.key === " " && event.target.matches("button, input")) return;
  const action = actions[event.key];
  if (!action) return;
  event.preventDefault();
  action();
}

function prepareClips() {
  const dialog = document.getElementById("clips");
  dialog.addEventListener("keydown", clipsKey);
  dialog.addEventListener("close", closeClips);
  dialog.addEventListener("click", (event) => { if (event.target === dialog) closeClips(); });
}
