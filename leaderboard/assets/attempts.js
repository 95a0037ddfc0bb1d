// The attempts behind the numbers: packed in the page, unpacked when first asked for.

let attemptsPromise = null;

function loadAttempts() {
  attemptsPromise ??= unpack(document.getElementById("attempts-data").textContent);
  return attemptsPromise;
}

async function unpack(base64) {
  const stream = new Blob([bytesOf(base64)]).stream().pipeThrough(new DecompressionStream("gzip"));
  return JSON.parse(await new Response(stream).text());
}

function bytesOf(base64) {
  return Uint8Array.from(atob(base64.trim()), (sign) => sign.charCodeAt(0));
}

// Scores by record, so that a clip finds its numbers.
function scoresByRecord(lines) {
  const found = new Map();
  for (const score of lines.scores) {
    if (!found.has(score.record_key)) found.set(score.record_key, {});
    found.get(score.record_key)[score.metric] = score;
  }
  return found;
}

// The address of a video: out of the page as a blob, made once, or the file beside the page. null: not on this page.
const blobAddresses = new Map();

function videoAddress(attempts, id) {
  if (!id) return null;
  if (attempts.linked[id]) return attempts.linked[id];
  if (!blobAddresses.has(id)) {
    const holder = document.getElementById(`video-${id}`);
    if (holder === null) return null;
    blobAddresses.set(id, URL.createObjectURL(new Blob([bytesOf(holder.textContent)], { type: "video/mp4" })));
  }
  return blobAddresses.get(id);
}
