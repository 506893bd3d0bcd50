// Turns a terminal's text into elements: colours become classes, cursor
// movements are dropped, and a carriage return begins its line anew. Nothing is
// ever parsed as markup.
class AnsiLog {
  #output;
  #line = null;
  #style = { bold: false, dim: false, colour: 0 };
  /** The beginning of an escape sequence that the next piece will end. */
  #rest = "";

  constructor(output) {
    this.#output = output;
  }

  write(text) {
    text = this.#rest + text;
    const open = text.search(/\x1b(\[[0-9;?]*|\][^\x07\x1b]*)?$/);
    this.#rest = open < 0 ? "" : text.slice(open);
    text = open < 0 ? text : text.slice(0, open);
    const token = /\x1b\[([0-9;?]*)([A-Za-z])|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b.|\r?\n|\r|[^\x1b\r\n]+/g;
    for (const [all, parameters, final] of text.matchAll(token)) {
      if (final === "m") {
        this.#select(parameters);
      } else if (all.endsWith("\n")) {
        this.#current().append("\n");
        this.#line = null;
      } else if (all === "\r") {
        this.#current().replaceChildren();
      } else if (all[0] !== "\x1b") {
        this.#append(all);
      }
    }
  }

  clear() {
    this.#output.replaceChildren();
    this.#line = null;
    this.#rest = "";
    this.#style = { bold: false, dim: false, colour: 0 };
  }

  #current() {
    if (!this.#line) {
      this.#line = document.createElement("span");
      this.#output.append(this.#line);
    }
    return this.#line;
  }

  #append(text) {
    const { bold, dim, colour } = this.#style;
    // Other control characters show nothing.
    text = text.replace(/[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]/g, "");
    if (!bold && !dim && !colour) {
      this.#current().append(text);
      return;
    }
    const span = document.createElement("span");
    span.className = [bold && "ansi-bold", dim && "ansi-dim", colour && `ansi-${colour}`].filter(Boolean).join(" ");
    span.textContent = text;
    this.#current().append(span);
  }

  #select(parameters) {
    const codes = parameters.split(";").map(Number);
    for (let i = 0; i < codes.length; i += 1) {
      const code = codes[i];
      if (code === 0) {
        this.#style = { bold: false, dim: false, colour: 0 };
      } else if (code === 1) {
        this.#style.bold = true;
      } else if (code === 2) {
        this.#style.dim = true;
      } else if (code === 22) {
        this.#style.bold = false;
        this.#style.dim = false;
      } else if ((code >= 30 && code <= 37) || (code >= 90 && code <= 97)) {
        this.#style.colour = code;
      } else if (code === 39) {
        this.#style.colour = 0;
      } else if (code === 38 || code === 48) {
        // 256 colours and true colours: skip what belongs to them.
        i += codes[i + 1] === 5 ? 2 : 4;
      }
    }
  }
}
