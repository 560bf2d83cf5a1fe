// Entries a second over the last minute, as sixty bars. The axis is in index.html.

import { oncePerFrame } from "./scheduling.js";

const SECONDS = 60;
const LOWEST_SCALE = 10;
const SVG = "http://www.w3.org/2000/svg";

export class Chart {
  #counts = new Array(SECONDS).fill(0);
  #second = now();
  #bars;
  #svg = document.querySelector("#chart");
  #max = document.querySelector("#chart-max");
  #perSecond = document.querySelector("#per-second");
  #draw = oncePerFrame(() => this.#render());

  constructor() {
    this.#bars = this.#counts.map((_, index) => {
      const bar = document.createElementNS(SVG, "rect");
      bar.setAttribute("x", index + 0.12);
      bar.setAttribute("width", 0.76);
      bar.setAttribute("y", 100);
      bar.setAttribute("height", 0);
      return bar;
    });
    this.#svg.append(...this.#bars);
    setInterval(() => this.add(0), 250);
  }

  /** Counts `entries` into the current second. */
  add(entries) {
    const passed = now() - this.#second;
    if (passed > 0) {
      const fresh = Math.min(passed, SECONDS);
      this.#counts.splice(0, fresh);
      this.#counts.push(...new Array(fresh).fill(0));
      this.#second += passed;
    }
    this.#counts[SECONDS - 1] += entries;
    if (passed > 0 || entries > 0) this.#draw();
  }

  #render() {
    const highest = Math.max(...this.#counts);
    const scale = niceScale(highest);
    this.#bars.forEach((bar, index) => {
      const count = this.#counts[index];
      // One entry in a second of a thousand still leaves a visible line.
      const height = count === 0 ? 0 : Math.max(2, (100 * count) / scale);
      bar.setAttribute("y", 100 - height);
      bar.setAttribute("height", height);
    });
    const last = this.#counts[SECONDS - 2];
    this.#max.textContent = `${scale.toLocaleString("en")}/s`;
    this.#perSecond.textContent = last.toLocaleString("en");
    this.#svg.setAttribute("aria-label", `Entries a second over the last 60 seconds: last ${last}, highest ${highest}`);
  }
}

/** The next of 10, 20, 50, 100, 200, … that holds `highest`. */
function niceScale(highest) {
  let scale = LOWEST_SCALE;
  for (let step = 0; scale < highest; step += 1) scale *= step % 3 === 1 ? 2.5 : 2;
  return scale;
}

function now() {
  return Math.floor(performance.now() / 1_000);
}
