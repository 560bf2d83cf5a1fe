// Errors of calls: code and message, the same one counted rather than repeated.

/** How many different errors stay on the page; the oldest gives way. */
const KEPT = 4;
/** Characters of a message worth showing. */
const MESSAGE_CHARS = 300;

export class Problems {
  #panel = document.querySelector("#problems");
  #list = document.querySelector("#problem-list");
  #shown = new Map();

  constructor() {
    document.querySelector("#problems-clear").addEventListener("click", () => {
      for (const key of [...this.#shown.keys()]) this.#dismiss(key);
    });
  }

  /** Shows `error`, thrown by the call named `call`. */
  report(call, error) {
    const code = error.code ?? error.name;
    const message = readable(code, error.message);
    const key = `${call}\n${code}`;
    const known = this.#shown.get(key);
    if (known) {
      known.count += 1;
      known.times.textContent = `×${known.count}`;
      known.message.textContent = message;
      return;
    }
    if (this.#shown.size >= KEPT) this.#dismiss(this.#shown.keys().next().value);
    this.#shown.set(key, this.#show(key, call, code, message));
    this.#panel.hidden = false;
  }

  #show(key, call, code, text) {
    const item = document.createElement("li");
    item.dataset.testid = "problem";
    const part = (name, content) => {
      const span = document.createElement("span");
      span.className = name;
      span.textContent = content;
      return span;
    };
    const times = part("problem-times num", "");
    const message = part("problem-message", text);
    const button = document.createElement("button");
    button.type = "button";
    button.className = "quiet";
    button.textContent = "Dismiss";
    button.dataset.testid = "problem-dismiss";
    button.setAttribute("aria-label", `Dismiss ${code} of ${call}`);
    button.addEventListener("click", () => this.#dismiss(key));
    const code_ = part("problem-code mono", code);
    code_.dataset.testid = "problem-code";
    item.append(code_, part("problem-call mono", call), times, button, message);
    this.#list.append(item);
    return { item, times, message, count: 1 };
  }

  #dismiss(key) {
    const { item } = this.#shown.get(key);
    const hadFocus = item.contains(document.activeElement);
    const next = item.nextElementSibling ?? item.previousElementSibling;
    item.remove();
    this.#shown.delete(key);
    this.#panel.hidden = this.#shown.size === 0;
    if (hadFocus) next?.querySelector("button").focus();
  }
}

function readable(code, message) {
  const text = message.startsWith(`${code} `) ? message.slice(code.length + 1) : message;
  return text.length > MESSAGE_CHARS ? `${text.slice(0, MESSAGE_CHARS)}…` : text;
}
