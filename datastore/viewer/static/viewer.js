// What these pages do beyond HTML: times in the reader's own zone, a countdown, names that a click puts into a filter.
// Everything works without it, in UTC.
(() => {
  "use strict";
  const format = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });

  function localise(within) {
    for (const time of within.querySelectorAll("time[datetime]:not([data-local])")) {
      const moment = new Date(time.dateTime);
      if (!Number.isNaN(moment.getTime())) time.textContent = format.format(moment);
      time.dataset.local = "";
    }
  }

  function left(seconds) {
    if (seconds <= 0) return "(over)";
    const parts = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];
    const first = parts.findIndex(([size]) => seconds >= size);
    return "(in " + parts.slice(first, first + 2).map(([size, unit]) => {
      const count = Math.floor(seconds / size);
      seconds -= count * size;
      return `${count} ${unit}`;
    }).join(" ") + ")";
  }

  function count() {
    for (const countdown of document.querySelectorAll(".countdown")) {
      const text = left(Math.floor((new Date(countdown.dataset.until) - Date.now()) / 1000));
      if (countdown.textContent !== text) countdown.textContent = text;
    }
  }

  function insertable(within) {
    for (const field of within.querySelectorAll("code.insert")) {
      const button = document.createElement("button");
      button.type = "button";
      button.className = "insert";
      button.append(...field.childNodes);
      button.dataset.insert = field.dataset.insert;
      button.dataset.text = field.dataset.text;
      field.replaceWith(button);
    }
  }

  document.addEventListener("click", (event) => {
    const button = event.target.closest("button.insert");
    if (button === null) return;
    const area = document.getElementById(button.dataset.insert);
    area.setRangeText(JSON.stringify(button.dataset.text), area.selectionStart, area.selectionEnd, "end");
    area.focus();
  });

  function dress(within) {
    localise(within);
    insertable(within);
    count();
  }

  // A form that was refused: what is wrong is marked in its field, which is where one goes on.
  function select(place) {
    if (place === null) return;
    const area = document.getElementById(place.dataset.field);
    area.focus();
    area.setSelectionRange(Number(place.dataset.start), Number(place.dataset.end));
  }

  document.addEventListener("DOMContentLoaded", () => {
    dress(document);
    select(document.querySelector(".place[data-field]"));
    setInterval(count, 1000);
    document.body.addEventListener("htmx:load", (event) => dress(event.target));
  });
})();
