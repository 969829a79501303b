// Follows the stream of the server and writes what has changed into the page: as text only, never as HTML.
"use strict";

(() => {
  const SILENT_MS = 2500; // the server sends something at least every second
  const RETRY_MS = 2000;
  const body = document.body;
  const health = document.getElementById("health");
  const said = document.getElementById("said");
  const ages = [...document.querySelectorAll("[data-age]")];
  const found = new Map();
  const values = new Map();
  let source = null;
  let heard = performance.now();
  let heardAt = new Date();
  let offset = 0; // of the server's clock, ms
  let wasLost = false;

  for (const element of document.querySelectorAll("[data-key], [data-spark], [data-log], [data-if], [data-age]")) {
    for (const name of ["key", "spark", "log", "if", "age"]) {
      const key = element.dataset[name];
      if (key !== undefined) {
        found.set(key, [...(found.get(key) ?? []), [name, element]]);
      }
    }
  }

  const setText = (element, text) => {
    if (element.textContent !== text) {
      element.textContent = text;
    }
  };

  const writers = {
    key(element, [text, mark]) {
      setText(element.querySelector(".t"), text);
      setText(element.querySelector(".m"), mark && ` ${mark}`);
      element.dataset.mark = mark;
    },
    spark(element, [path]) {
      element.setAttribute("d", path);
    },
    log(element, [text]) {
      element.replaceChildren(
        ...text.split("\n").filter((line) => line).map((line) => {
          const item = document.createElement("li");
          item.dir = "auto";
          item.textContent = line;
          return item;
        }),
      );
    },
    if(element, [text, mark]) {
      element.hidden = text === "" && mark === "";
    },
    age(element, [, , at]) {
      element.dataset.at = at;
    },
  };

  const write = (key, value) => {
    values.set(key, value);
    for (const [name, element] of found.get(key) ?? []) {
      writers[name](element, value);
    }
  };

  const say = (state, sentence) => {
    body.dataset.health = state;
    setText(health, sentence);
  };

  // The time of day, with its date unless that is today's, as in the sentences of the server.
  const clock = (moment) => {
    const [date, time] = moment.toLocaleString("sv").split(" "); // as Sweden writes it: YYYY-MM-DD HH:MM:SS
    return date === new Date().toLocaleDateString("sv") ? time : `${date} ${time}`;
  };

  const showAges = () => {
    const now = Date.now() + offset;
    for (const element of ages) {
      const at = Number(element.dataset.at);
      const seconds = Math.max(0, Math.round(now / 1000 - at));
      const text = !at ? "–" : seconds < 100 ? `${seconds} s` : seconds < 6000 ? `${Math.round(seconds / 60)} min` : `${Math.round(seconds / 3600)} h`;
      setText(element, text);
    }
  };

  const take = (event) => {
    const update = JSON.parse(event.data);
    if (update.generation !== body.dataset.generation) {
      location.reload(); // the topology or the server is another one
      return;
    }
    heard = performance.now();
    heardAt = new Date();
    offset = update.now * 1000 - Date.now();
    for (const [key, value] of Object.entries(update.set)) {
      write(key, value);
    }
    say(update.health, update.sentence);
    showAges();
    const state = values.get("Run:State")?.[0] ?? "";
    const number = values.get("Run:Number")?.[0] ?? "";
    setText(said, `Run ${number} is ${state}`);
    const title = `${update.health === "live" ? state : "Old"} · run ${number}`;
    if (document.title !== title) {
      document.title = title;
    }
  };

  const open = () => {
    source?.close();
    source = new EventSource(body.dataset.events);
    source.onmessage = take;
  };

  const look = () => {
    showAges();
    if (document.hidden) {
      return;
    }
    const lost = performance.now() - heard > SILENT_MS;
    if (lost) {
      say("lost", `This page has lost its server since ${clock(heardAt)}. The values below are old and may be wrong.`);
    }
    if (lost && (!wasLost || source === null)) {
      setTimeout(retry, RETRY_MS);
    }
    wasLost = lost;
  };

  // The browser itself connects again, unless it got an answer that is no stream.
  const retry = () => {
    if (!document.hidden && source?.readyState !== EventSource.OPEN) {
      open();
    }
    if (!document.hidden && performance.now() - heard > SILENT_MS) {
      setTimeout(retry, RETRY_MS);
    }
  };

  // A browser has few connections to one server: a tab that nobody sees needs none.
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) {
      source?.close();
      source = null;
    } else {
      heard = performance.now();
      wasLost = false;
      say("connecting", "Reconnecting: the values below may be old.");
      open();
    }
  });

  open();
  setInterval(look, 500);
})();
