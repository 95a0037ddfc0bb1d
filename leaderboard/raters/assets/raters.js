// One rater's way through the questions. All that is known lies in `session`, and is kept by the browser if it may.

const study = JSON.parse(document.getElementById("study-data").textContent);
const questions = new Map(study.questions.map((question) => [question.id, question]));
const STORE = `motionbench-raters-${study.study}`;
const SIDES = ["left", "right"];
const SECONDS_EACH = 8;
const CALM = window.matchMedia("(prefers-reduced-motion: reduce)");
const el = (id) => document.getElementById(id);
const clips = () => ["reference", ...SIDES].map(el);

let session = recall() || freshSession();
const view = { shown: 0, watched: false, broken: false, ended: new Set(), addresses: new Map() };

function freshSession() {
  const order = drawOrder(study.questions, study.per_rater);
  return { rater: randomName(), started: new Date().toISOString(), order, answers: [] };
}

function recall() {
  try {
    const held = JSON.parse(localStorage.getItem(STORE));
    return held && held.order.every(({ question }) => questions.has(question)) ? held : null;
  } catch {
    return null; // a browser that keeps nothing for files
  }
}

function keep() {
  try {
    localStorage.setItem(STORE, JSON.stringify(session));
  } catch { /* the answers stay in the page until it is closed */ }
}

function address(name) {
  if (study.linked[name]) return study.linked[name];
  if (!view.addresses.has(name)) {
    const bytes = Uint8Array.from(atob(el(`video-${name}`).textContent), (sign) => sign.charCodeAt(0));
    view.addresses.set(name, URL.createObjectURL(new Blob([bytes], { type: "video/mp4" })));
  }
  return view.addresses.get(name);
}

function showSection(name) {
  for (const id of ["start", "question", "finish"]) el(id).hidden = id !== name;
}

function ask() {
  const at = session.answers.length;
  if (at >= session.order.length) return finish();
  showSection("question");
  const { question: id, left } = session.order[at];
  const question = questions.get(id);
  const names = { reference: question.reference, left: question[left], right: question[left === "a" ? "b" : "a"] };
  Object.assign(view, { shown: performance.now(), watched: false, broken: false, ended: new Set() });
  el("place").textContent = `${at + 1} of ${session.order.length}`;
  el("progress").value = at / session.order.length;
  el("back").disabled = at === 0;
  allow();
  for (const clip of clips()) {
    clip.src = address(names[clip.id]);
    clip.load();
  }
  el("hint").textContent = CALM.matches ? "Press “Play again” to see the clips." : "Watch the clips to the end.";
  if (!CALM.matches) play();
  return undefined;
}

function allow() {
  for (const button of document.querySelectorAll("[data-choice]")) {
    button.disabled = !(view.watched || (view.broken && button.dataset.choice === "same"));
  }
}

// All three take as long as the reference, whatever their rate and length: so they are scored, too.
function pace() {
  const whole = el("reference").duration;
  for (const clip of clips()) {
    const rate = clip.duration / whole;
    if (Number.isFinite(rate) && rate > 0) clip.playbackRate = Math.min(4, Math.max(0.25, rate));
    if (clip.id === "reference" && clip.videoHeight) {
      document.querySelector(".stage").style.setProperty("--aspect", clip.videoWidth / clip.videoHeight);
    }
  }
}

function play() {
  view.ended.clear();
  const tries = clips().map((clip) => {
    clip.currentTime = 0;
    return clip.play();
  });
  Promise.all(tries).catch((error) => {
    if (error.name === "NotAllowedError") el("hint").textContent = "Press “Play again” to see the clips.";
  });
}

function clipEnded(clip) {
  view.ended.add(clip.id);
  if (view.ended.size < 3) return;
  if (!view.watched) {
    view.watched = true;
    allow();
    el("hint").textContent = "Which one moves more like the reference?";
  }
  if (!CALM.matches) setTimeout(() => { if (view.ended.size === 3) play(); }, 350);
}

function clipBroke() {
  view.broken = true;
  allow();
  el("hint").textContent = "A clip cannot be played here: choose “Cannot tell” to go on.";
}

function answer(choice) {
  if (el("question").hidden || el(`answer-${choice}`).disabled) return;
  const { question, left } = session.order[session.answers.length];
  const seconds = Math.round((performance.now() - view.shown) / 100) / 10;
  session.answers.push({ question, left, choice: view.broken ? "broken" : choice, seconds });
  keep();
  ask();
}

function back() {
  if (el("question").hidden || session.answers.length === 0) return;
  session.answers.pop();
  keep();
  ask();
}

function report() {
  const { rater, started, answers } = session;
  const finished = new Date().toISOString();
  return { schema: study.schema, study: study.study, rater, started, finished, asked: session.order.length, answers };
}

function finish() {
  for (const clip of clips()) clip.pause();
  showSection("finish");
  const text = `${JSON.stringify(report(), null, 1)}\n`;
  const link = el("download");
  if (link.href) URL.revokeObjectURL(link.href);
  link.href = URL.createObjectURL(new Blob([text], { type: "application/json" }));
  link.download = `answers-${session.rater}.json`;
  el("text").value = text;
  el("said").textContent = `${session.answers.length} of ${session.order.length} questions are answered.`;
  el("continue").hidden = session.answers.length >= session.order.length;
}

function anew() {
  session = freshSession();
  keep();
  begin();
}

function begin() {
  el("count").textContent = session.order.length;
  el("minutes").textContent = Math.max(1, Math.round(session.order.length * SECONDS_EACH / 60));
  el("begin").textContent = session.answers.length ? "Go on" : "Begin";
  showSection("start");
}

const KEYS = {
  ArrowLeft: () => answer("left"),
  ArrowRight: () => answer("right"),
  ArrowDown: () => answer("same"),
  Backspace: back,
  " ": play,
};

document.addEventListener("keydown", (event) => {
  if (el("question").hidden || event.ctrlKey || event.metaKey || event.altKey || !(event.key in KEYS)) return;
  if (event.key === " " && event.target instanceof HTMLButtonElement) return; // it presses the button
  event.preventDefault();
  if (!event.repeat) KEYS[event.key]();
});
for (const button of document.querySelectorAll("[data-choice]")) {
  button.addEventListener("click", () => answer(button.dataset.choice));
}
for (const clip of clips()) {
  clip.addEventListener("loadedmetadata", pace);
  clip.addEventListener("ended", () => clipEnded(clip));
  clip.addEventListener("error", clipBroke);
  clip.addEventListener("click", play);
}
el("begin").addEventListener("click", ask);
el("back").addEventListener("click", back);
el("again").addEventListener("click", play);
el("stop").addEventListener("click", finish);
el("continue").addEventListener("click", ask);
el("anew").addEventListener("click", anew);
begin();
