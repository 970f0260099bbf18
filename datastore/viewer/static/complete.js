// Names for the query that is being typed: of the fields on the page, and of the language. Arrow keys choose, Enter or
// a click takes, Escape closes; nothing is chosen until an arrow is pressed, so Tab and Enter do what they always do.
(() => {
  "use strict";
  const MOST = 8;
  let active = -1;

  // Where a name stands that is not finished: behind a brace or a comma, and a quote.
  function begun(area) {
    const before = area.value.slice(0, area.selectionStart);
    const rest = before.replace(/"(?:[^"\\]|\\.)*"/g, (text) => " ".repeat(text.length));
    const quote = rest.lastIndexOf('"');
    return quote >= 0 && /[{,]\s*$/.test(rest.slice(0, quote)) ? before.slice(quote + 1) : null;
  }

  const listOf = (area) => document.getElementById(area.id + "-names");

  function close(area) {
    listOf(area).hidden = true;
    area.removeAttribute("aria-activedescendant");
    active = -1;
  }

  function offer(area) {
    close(area);
    const text = begun(area);
    if (text === null) return;
    const fields = [...document.querySelectorAll(`[data-insert="${area.id}"]`)].map((one) => one.dataset.text);
    const found = [...fields, ...area.dataset.words.split(" ")].filter(
      (word) => word !== text && word.toLowerCase().startsWith(text.toLowerCase())).slice(0, MOST);
    const list = listOf(area);
    list.replaceChildren(...found.map((word, place) => {
      const option = document.createElement("li");
      option.id = `${area.id}-name-${place}`;
      option.setAttribute("role", "option");
      option.setAttribute("aria-selected", "false");
      option.textContent = word;
      return option;
    }));
    list.hidden = found.length === 0;
  }

  function choose(area, place) {
    const options = [...listOf(area).children];
    active = (place + options.length) % options.length;
    options.forEach((option, number) => option.setAttribute("aria-selected", String(number === active)));
    area.setAttribute("aria-activedescendant", options[active].id);
  }

  function take(area, word) {
    const end = area.selectionStart, text = begun(area);
    const closed = area.value[end] === '"' ? 1 : 0;
    const follows = /^\s*:/.test(area.value.slice(end + closed)) ? "" : ": ";
    area.setRangeText(JSON.stringify(word).slice(1) + follows, end - text.length, end + closed, "end");
    close(area);
    area.dispatchEvent(new Event("input", { bubbles: true }));
  }

  const isQuery = (element) => element instanceof HTMLTextAreaElement && element.dataset.words !== undefined;

  document.addEventListener("input", (event) => isQuery(event.target) && offer(event.target));
  document.addEventListener("focusout", (event) => isQuery(event.target) && close(event.target));
  document.addEventListener("keydown", (event) => {
    const area = event.target;
    if (!isQuery(area) || listOf(area).hidden) return;
    const steps = { ArrowDown: active + 1, ArrowUp: active < 0 ? -1 : active - 1 };
    if (event.key in steps) choose(area, steps[event.key]);
    else if (event.key === "Enter" && active >= 0) take(area, listOf(area).children[active].textContent);
    else if (event.key === "Escape") close(area);
    else return;
    event.preventDefault();
  });
  document.addEventListener("mousedown", (event) => {
    const option = event.target.closest(".names [role=option]");
    if (option === null) return;
    event.preventDefault(); // so that the field keeps the focus
    take(document.getElementById(option.parentElement.id.replace(/-names$/, "")), option.textContent);
  });
})();
