"use strict";

// Everything works without this script. It suggests rows while a person types, and sends a form once, also where the page
// that came of it is loaded again.

for (const input of document.querySelectorAll("input[data-suggest]")) {
  const list = document.getElementById(input.getAttribute("list"));
  let timer = 0;
  let asked = "";
  input.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(async () => {
      const text = input.value.trim();
      if (text.length < 2 || text === asked || /^[0-9]+$/.test(text)) return;
      asked = text;
      const answer = await fetch(`${input.dataset.suggest}?search=${encodeURIComponent(text.slice(0, 100))}`);
      if (!answer.ok || input.value.trim() !== text) return;
      const rows = await answer.json();
      list.replaceChildren(...rows.map((row) => new Option(row.label, row.id)));
    }, 200);
  });
}

for (const form of document.querySelectorAll("form[method=post]")) {
  let sent = false;
  const forget = () => { sent = false; };
  form.addEventListener("submit", (event) => {
    if (sent) {
      event.preventDefault();
      return;
    }
    sent = true;
    setTimeout(forget, 10000);
  });
  // A person who stops a slow page stays on this one, and no event tells of it. The key of the form has it act once.
  for (const happened of ["input", "change"]) form.addEventListener(happened, forget);
  addEventListener("pageshow", forget);
}

for (const shown of document.querySelectorAll("[data-reloads-as]")) {
  history.replaceState(null, "", shown.dataset.reloadsAs);
}
