// Videos that play in step: the first leads, the others are put right whenever they are half a frame off.

class SyncedPlayers {
  // onFrame(progress) is called for every drawn frame, progress from 0 (first frame) to 1 (last).
  constructor(videos, fps, frames, onFrame) {
    Object.assign(this, { videos, onFrame, fps: fps || 8, frames, wantsToPlay: false, isClosed: false });
    this.ready = Promise.all(videos.map(loaded));
    this.tick = this.tick.bind(this);
    requestAnimationFrame(this.tick);
  }

  get leader() {
    return this.videos[0];
  }

  get duration() {
    return Number.isFinite(this.leader.duration) ? this.leader.duration : 0;
  }

  get progress() {
    const last = (this.frames ?? Math.round(this.duration * this.fps)) - 1;
    return last > 0 ? Math.min(1, Math.floor(this.leader.currentTime * this.fps + 0.01) / last) : 0;
  }

  async play() {
    this.wantsToPlay = true;
    await this.ready;
    if (this.leader.currentTime >= this.duration - 0.5 / this.fps) await this.seek(0);
    await this.start();
  }

  // Everybody waits at the same frame before anybody starts.
  async start() {
    if (!this.wantsToPlay || this.isClosed) return;
    await this.seek(this.leader.currentTime);
    await Promise.allSettled(this.videos.map((video) => video.play()));
  }

  pause() {
    this.wantsToPlay = false;
    for (const video of this.videos) video.pause();
  }

  async seek(time) {
    const target = Math.min(Math.max(0, time), Math.max(0, this.duration - 0.25 / this.fps));
    await Promise.all(this.videos.map((video) => seeked(video, target)));
  }

  async step(frames) {
    this.pause();
    // The middle of a frame: its edges are where two players may round differently.
    const frame = Math.floor(this.leader.currentTime * this.fps + 0.01) + frames;
    await this.seek((frame + 0.5) / this.fps);
  }

  setRate(rate) {
    for (const video of this.videos) video.playbackRate = rate;
  }

  tick() {
    if (this.isClosed) return;
    requestAnimationFrame(this.tick);
    if (this.wantsToPlay && this.leader.ended && !this.isLooping) this.loop();
    else if (this.wantsToPlay && !this.leader.paused) this.follow();
    this.onFrame(this.progress);
  }

  follow() {
    const time = this.leader.currentTime;
    for (const video of this.videos.slice(1)) {
      if (video.seeking || video.readyState < 2 || time >= video.duration) continue;
      if (Math.abs(video.currentTime - time) > 0.5 / this.fps) video.currentTime = time;
      if (video.paused && !video.ended) video.play().catch(() => {});
    }
  }

  async loop() {
    this.isLooping = true;
    for (const video of this.videos) video.pause();
    await this.seek(0);
    await this.start();
    this.isLooping = false;
  }

  close() {
    this.pause();
    this.isClosed = true;
    for (const video of this.videos) {
      video.removeAttribute("src");
      video.load();
    }
  }
}

// Resolves when a video can show frames, or has failed for good: one bad file must not stop the others.
function loaded(video) {
  if (video.readyState >= 2 || video.error) return Promise.resolve();
  return new Promise((resolve) => {
    for (const event of ["loadeddata", "error", "abort"]) video.addEventListener(event, resolve, { once: true });
  });
}

function seeked(video, time) {
  if (video.error || video.readyState < 1 || Math.abs(video.currentTime - time) < 0.001) return Promise.resolve();
  return new Promise((resolve) => {
    for (const event of ["seeked", "error", "emptied"]) video.addEventListener(event, resolve, { once: true });
    video.currentTime = time;
  });
}
