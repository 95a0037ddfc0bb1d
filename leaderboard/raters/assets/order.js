// Which questions a rater gets, in which order, and which clip stands left: drawn anew for each.

function randomBelow(limit) {
  const draw = new Uint32Array(1);
  const fair = Math.floor(2 ** 32 / limit) * limit; // no number below the limit is likelier than another
  do crypto.getRandomValues(draw); while (draw[0] >= fair);
  return draw[0] % limit;
}

function shuffled(list) {
  const copy = [...list];
  for (let i = copy.length - 1; i > 0; i -= 1) {
    const j = randomBelow(i + 1);
    [copy[i], copy[j]] = [copy[j], copy[i]];
  }
  return copy;
}

function randomName() {
  return Array.from({ length: 12 }, () => "0123456789abcdef"[randomBelow(16)]).join("");
}

// Questions without a block are asked of everybody; of the others the blocks take turns.
function drawOrder(questions, perRater) {
  const blocks = new Map();
  for (const question of questions) {
    if (question.block === null) continue;
    if (!blocks.has(question.block)) blocks.set(question.block, []);
    blocks.get(question.block).push(question);
  }
  const queues = shuffled([...blocks.values()]).map(shuffled);
  const taken = [];
  for (let turn = 0; taken.length < perRater && queues.some((queue) => queue.length > turn); turn += 1) {
    for (const queue of queues) if (queue.length > turn && taken.length < perRater) taken.push(queue[turn]);
  }
  const always = questions.filter((question) => question.block === null);
  return shuffled([...taken, ...always]).map(({ id }) => ({ question: id, left: "ab"[randomBelow(2)] }));
}
