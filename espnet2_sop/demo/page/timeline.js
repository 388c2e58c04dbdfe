// The time line: ruler, waveform and one lane for each talker, with the words of the prompt at their times.

import { chip, colour, groups, make, makeSvg } from "/dom.js";

const MOST_ROWS = 3; // of words in a lane; where more would be needed, the time line grows and scrolls
const ROW = 26; // px
const WORD_PADDING = 14; // px left and right of a word together, and the gap to the next
const STEPS = [0.5, 1, 2, 5, 10, 30, 60]; // seconds between the marks of the ruler
const MOST_PIXELS_PER_SECOND = 400;
const PAUSE = 1; // seconds
export const UNSURE = 0.5; // words of less confidence are underlined

export class Timeline {
  /** `playFrom(seconds)` is called when a word, a lane or the waveform is clicked. */
  constructor(box, playFrom) {
    this.box = box;
    this.playFrom = playFrom;
    this.canvas = document.createElement("canvas").getContext("2d");
    box.addEventListener("click", (event) => this.clicked(event));
    box.addEventListener("keydown", (event) => this.moved(event));
    box.addEventListener("scroll", () => { this.scrolled = performance.now(); });
    new ResizeObserver(() => { if (this.width !== box.clientWidth) this.draw(); }).observe(box);
  }

  /** Shows a recording: its length in seconds, the outline of its waveform (0 to 1), and later its talkers. */
  load(seconds, peaks) {
    this.seconds = seconds;
    this.peaks = peaks;
    this.talkers = [];
    this.lanes = [];
    this.parts = [];
    this.zoom = 1;
    this.box.scrollLeft = 0;
    this.draw();
  }

  setTalkers(talkers) {
    this.talkers = talkers.filter((talker) => talker.words.length);
    this.lanes = groups(this.talkers, (talker) => talker.number).sort((a, b) => a[0] - b[0]);
    this.parts = [...new Set(talkers.map((talker) => talker.segment[0]))];
    this.draw();
  }

  zoomBy(factor) {
    const middle = (this.box.scrollLeft + this.box.clientWidth / 2) / this.scale;
    const smallest = this.fit();
    const wanted = Math.max(smallest, Math.min(this.scale * factor, MOST_PIXELS_PER_SECOND));
    this.zoom *= wanted / this.scale;
    this.draw();
    this.box.scrollLeft = middle * this.scale - this.box.clientWidth / 2;
  }

  draw() {
    if (!this.seconds || !this.box.clientWidth) return;
    this.width = this.box.clientWidth;
    this.canvas.font = `14px ${getComputedStyle(document.body).fontFamily}`;
    this.scale = this.fit() * this.zoom;
    const ends = this.talkers.flatMap((t) => t.words.map((word) => word.start * this.scale + this.textWidth(word)));
    const width = Math.ceil(Math.max(this.width, this.scale * this.seconds, ...ends));
    this.playhead = make("div", { class: "playhead" });
    this.inner = make("div", { class: "inner" }, this.ruler(), this.wave(),
      ...this.lanes.map(([number, talkers]) => this.lane(number, talkers)), ...this.borders(), this.playhead);
    this.inner.style.width = `${width}px`;
    this.box.replaceChildren(this.inner);
    this.buttons = [...this.box.querySelectorAll("button")];
    this.buttons.forEach((button, i) => { button.tabIndex = i ? -1 : 0; });
    this.at(this.time ?? 0, false);
  }

  /** Pixels for a second: the whole in the window, the last words too, if they have room; otherwise more. */
  fit() {
    const words = this.talkers.flatMap((talker) => talker.words);
    let scale = Math.min(this.width / this.seconds,
      ...words.map((word) => (this.width - this.textWidth(word)) / word.start)); // one at 0 has all the room
    scale = Math.max(scale, (0.8 * this.width) / this.seconds);
    while (scale < MOST_PIXELS_PER_SECOND && this.lanes.some(([, own]) => this.rows(own, scale).most >= MOST_ROWS)) {
      scale *= 1.1;
    }
    return scale;
  }

  textWidth(word) {
    return this.canvas.measureText(word.word).width + WORD_PADDING;
  }

  /** Puts each word into the first row of its lane in which it has room. */
  rows(talkers, scale) {
    const ends = [];
    const places = talkers.flatMap((talker) => talker.words).map((word) => {
      const left = word.start * scale;
      let row = ends.findIndex((end) => end <= left);
      if (row < 0) row = ends.length;
      ends[row] = left + this.textWidth(word);
      return row;
    });
    return { places, most: Math.max(0, ends.length - 1) };
  }

  ruler() {
    const step = STEPS.find((seconds) => seconds * this.scale >= 48) ?? 120;
    const marks = [];
    for (let time = 0; time < this.seconds; time += step) {
      const mark = make("span", {}, `${time} s`);
      mark.style.left = `${time * this.scale}px`;
      if ((this.seconds - time) * this.scale > 30) marks.push(mark);
    }
    return make("div", { class: "ruler", "aria-hidden": "true" }, ...marks);
  }

  wave() {
    const { peaks } = this;
    const step = 1000 / peaks.length;
    const upper = peaks.map((peak, i) => `${((i + 0.5) * step).toFixed(2)} ${(50 - 46 * peak).toFixed(1)}`);
    const lower = peaks.map((peak, i) => `${((i + 0.5) * step).toFixed(2)} ${(50 + 46 * peak).toFixed(1)}`).reverse();
    const outline = makeSvg("path", { d: `M0 50L${upper.join("L")}L1000 50L${lower.join("L")}Z` });
    const svg = makeSvg("svg", { viewBox: "0 0 1000 100", preserveAspectRatio: "none", "aria-hidden": "true" }, outline);
    const wave = make("div", { class: "wave" }, svg);
    svg.style.width = `${this.scale * this.seconds}px`;
    for (const talker of this.talkers) {
      const flag = make("span", { class: `flag ${colour(talker.number)}`, "aria-hidden": "true" }, String(talker.number));
      flag.style.left = `${start(talker) * this.scale}px`;
      wave.append(flag);
    }
    return wave;
  }

  /** The talkers who are `number` in the order of their parts; most often there is one part. */
  lane(number, talkers) {
    const { places, most } = this.rows(talkers, this.scale);
    const rows = places[Symbol.iterator]();
    const body = make("div", { class: "words" });
    for (const talker of talkers) {
      for (const [from, to] of spans(talker.words)) {
        const span = make("div", { class: "span" });
        span.style.left = `${from * this.scale}px`;
        span.style.width = `${Math.max(2, (to - from) * this.scale)}px`;
        body.append(span);
      }
      const fates = new Map(talker.changes.map((change) => [change.at, change.kind]));
      body.append(...talker.words.map((word, i) => this.word(talker, word, rows.next().value, fates.get(i))));
    }
    body.style.height = `${(most + 1) * ROW + 8}px`;
    const when = this.parts.length > 1 ? "of each part" : `starts at ${start(talkers[0]).toFixed(2)} s`;
    const title = make("div", { class: "lane-title" }, chip(number), when);
    return make("div", { class: `lane ${colour(number)}`, role: "group", "aria-label": `Talker ${number}, ${when}` },
      title, body);
  }

  borders() {
    return this.parts.slice(1).map((time) => {
      const border = make("div", { class: "border" });
      border.style.left = `${time * this.scale}px`;
      return border;
    });
  }

  word(talker, word, row, fate) {
    const unsure = word.confidence < UNSURE;
    const button = make("button", {
      type: "button",
      class: `word ${fate ?? ""} ${unsure ? "unsure" : ""}`,
      "data-start": word.start,
      "data-end": word.end,
      title: `${word.start.toFixed(2)} s, confidence ${word.confidence.toFixed(2)}`,
      "aria-label": `${word.word}, talker ${talker.number}, ${word.start.toFixed(1)} seconds${unsure ? ", unsure" : ""}`,
    }, word.word);
    button.style.left = `${word.start * this.scale}px`;
    button.style.top = `${4 + row * ROW}px`;
    return button;
  }

  clicked(event) {
    const word = event.target.closest("button");
    if (word) {
      this.focusOn(word);
      this.playFrom(Number(word.dataset.start));
    } else if (this.inner?.contains(event.target)) {
      this.playFrom((event.clientX - this.inner.getBoundingClientRect().left) / this.scale);
    }
  }

  /** One word is reached by Tab, the others by the arrow keys. */
  moved(event) {
    const at = this.buttons.indexOf(event.target);
    const step = { ArrowRight: 1, ArrowLeft: -1, Home: -at, End: this.buttons.length - 1 - at }[event.key];
    const lane = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    let next;
    if (at < 0) return;
    if (step !== undefined) next = this.buttons[at + step];
    else if (lane) next = this.nearest(event.target, lane);
    else return;
    event.preventDefault();
    if (next) this.focusOn(next);
  }

  nearest(word, direction) {
    const lanes = [...this.box.querySelectorAll(".lane")];
    const lane = lanes[lanes.indexOf(word.closest(".lane")) + direction];
    const away = (button) => Math.abs(button.dataset.start - word.dataset.start);
    return lane && [...lane.querySelectorAll("button")].sort((a, b) => away(a) - away(b))[0];
  }

  focusOn(word) {
    this.buttons.forEach((button) => { button.tabIndex = button === word ? 0 : -1; });
    word.focus();
  }

  /** Moves the play head; while it plays, the window follows. */
  at(time, playing) {
    this.time = time;
    if (!this.inner) return;
    const x = time * this.scale;
    this.playhead.style.transform = `translateX(${x}px)`;
    for (const button of this.buttons) {
      const on = time > 0 && button.dataset.start <= time && time < Number(button.dataset.end) + 0.12;
      button.classList.toggle("now", on);
    }
    const { scrollLeft, clientWidth } = this.box;
    const seen = x >= scrollLeft && x <= scrollLeft + clientWidth * 0.9;
    if (playing && !seen) this.box.scrollLeft = Math.max(0, x - clientWidth * 0.15);
  }
}

/** Start and end of the stretches in which words follow each other without a long pause. */
function spans(words) {
  const found = [];
  for (const { start: from, end: to } of words) {
    const last = found.at(-1);
    if (last && from - last[1] < PAUSE) last[1] = Math.max(last[1], to);
    else found.push([from, to]);
  }
  return found;
}

const start = (talker) => talker.onset ?? talker.words[0].start;
