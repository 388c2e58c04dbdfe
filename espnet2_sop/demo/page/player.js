// Playing: one audio element, its buttons, and whoever wants to know the time.

export function clock(seconds) {
  const tenths = Math.round(seconds * 10);
  return `${Math.floor(tenths / 600)}:${String(Math.floor(tenths / 10) % 60).padStart(2, "0")}.${tenths % 10}`;
}

export class Player {
  /** `moved(seconds, playing)` is called for every frame drawn while it plays, and after every jump. */
  constructor(moved) {
    this.audio = document.getElementById("audio");
    this.button = document.getElementById("play");
    this.seek = document.getElementById("seek");
    this.clock = document.getElementById("clock");
    this.moved = moved;
    this.seconds = 0;
    this.button.addEventListener("click", () => this.toggle());
    this.seek.addEventListener("input", () => this.jump(Number(this.seek.value)));
    for (const name of ["play", "pause", "ended", "seeked", "loadedmetadata"]) {
      this.audio.addEventListener(name, () => this.show());
    }
    this.audio.addEventListener("error", () => { if (this.url) this.allow(false); });
    document.addEventListener("keydown", (event) => {
      const free = !event.target.closest("button, input, select, textarea, summary, a");
      if (event.key === " " && free && this.usable) {
        event.preventDefault();
        this.toggle();
      }
    });
  }

  load(blob) {
    this.unload();
    this.url = URL.createObjectURL(blob);
    this.allow(true);
    this.audio.src = this.url;
  }

  unload() {
    if (!this.url) return;
    URL.revokeObjectURL(this.url);
    this.url = null;
    this.audio.removeAttribute("src");
    this.audio.load();
  }

  /** The length that the server has found: that of the browser may be estimated, and is not there at once. */
  setLength(seconds) {
    this.seconds = seconds;
    this.seek.max = seconds;
    this.show();
  }

  allow(usable) {
    this.usable = usable;
    this.button.disabled = this.seek.disabled = !usable;
    this.button.title = usable ? "" : "This browser cannot play the file";
  }

  toggle() {
    if (this.audio.paused) this.play();
    else this.audio.pause();
  }

  play() {
    this.audio.play().catch(() => this.show());
  }

  playFrom(seconds) {
    if (!this.usable) return;
    this.jump(seconds);
    this.play();
  }

  jump(seconds) {
    this.audio.currentTime = Math.max(0, Math.min(seconds, this.seconds));
    this.show();
  }

  show() {
    const time = Math.min(this.audio.currentTime, this.seconds || Infinity), playing = !this.audio.paused;
    this.seek.value = time;
    this.seek.setAttribute("aria-valuetext", `${time.toFixed(1)} of ${this.seconds.toFixed(1)} seconds`);
    this.seek.style.setProperty("--done", `${(100 * time) / (this.seconds || 1)}%`);
    this.clock.textContent = `${clock(time)} / ${clock(this.seconds)}`;
    this.button.classList.toggle("playing", playing);
    this.button.setAttribute("aria-label", playing ? "Pause" : "Play");
    this.moved(time, playing);
    cancelAnimationFrame(this.frame);
    if (playing) this.frame = requestAnimationFrame(() => this.show());
  }
}
