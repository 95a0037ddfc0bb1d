// Point tracks drawn over a player: where each point was in the last frames, and where it is.

const HIDDEN = 0xffff;
const TAIL_FRAMES = 8;
const TRACK_COLORS = { generated: "#E69F00", reference: "#56B4E9" };

// { n, t, at(point, frame) -> [x, y] as fractions of the frame, or null where the point is hidden }
function unpackTracks(packed) {
  if (!packed) return null;
  const bytes = bytesOf(packed.data);
  const codes = new DataView(bytes.buffer);
  const at = (point, frame) => {
    const offset = 4 * (point * packed.t + frame);
    const x = codes.getUint16(offset, true);
    const y = codes.getUint16(offset + 2, true);
    return x === HIDDEN || y === HIDDEN ? null : [x / 0x8000 - 0.25, y / 0x8000 - 0.25];
  };
  return { n: packed.n, t: packed.t, at };
}

// progress: 0 at the first frame, 1 at the last.
function drawTracks(canvas, layers, progress) {
  const scale = window.devicePixelRatio || 1;
  const width = Math.round(canvas.clientWidth * scale);
  const height = Math.round(canvas.clientHeight * scale);
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
  const context = canvas.getContext("2d");
  context.clearRect(0, 0, width, height);
  for (const { tracks, color } of layers) {
    const frame = Math.min(tracks.t - 1, Math.max(0, Math.round(progress * (tracks.t - 1))));
    for (let point = 0; point < tracks.n; point += 1) drawTrack(context, tracks, point, frame, color, scale);
  }
}

function drawTrack(context, tracks, point, frame, color, scale) {
  const { width, height } = context.canvas;
  const place = (f) => tracks.at(point, f);
  for (const [style, thickness] of [["rgba(0, 0, 0, 0.55)", 3.5], [color, 1.7]]) {
    context.strokeStyle = style;
    context.lineWidth = thickness * scale;
    context.lineCap = "round";
    context.beginPath();
    let isDown = false;
    for (let f = Math.max(0, frame - TAIL_FRAMES); f <= frame; f += 1) {
      const at = place(f);
      if (at === null) { isDown = false; continue; }
      if (isDown) context.lineTo(at[0] * width, at[1] * height);
      else context.moveTo(at[0] * width, at[1] * height);
      isDown = true;
    }
    context.stroke();
  }
  const now = place(frame);
  if (now === null) return;
  context.beginPath();
  context.arc(now[0] * width, now[1] * height, 2.6 * scale, 0, 2 * Math.PI);
  context.fillStyle = color;
  context.fill();
  context.lineWidth = scale;
  context.strokeStyle = "rgba(0, 0, 0, 0.7)";
  context.stroke();
}
