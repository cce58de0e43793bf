// What happens in aftermath, as it happens: one stream of events for all views, and loads that never show what is out of date.
import { useEffect, useRef } from "preact/hooks";
import { signal } from "@preact/signals";

export const connected = signal(false);

const watchers = new Set();
let events;
let retry;

const tell = () => watchers.forEach((again) => again());

function open() {
  clearTimeout(retry);
  const mine = (events = new EventSource("/api/v1/events"));
  mine.onopen = () => {
    connected.value = true;
    tell(); // of what happened before
  };
  mine.onerror = () => {
    connected.value = false;
    // The browser goes on trying after a broken connection, but not after an answer that is no stream.
    if (mine.readyState === EventSource.CLOSED && mine === events) retry = setTimeout(open, 3000);
  };
  for (const kind of ["outcome", "lost", "reload"]) mine.addEventListener(kind, tell);
}

function close() {
  clearTimeout(retry);
  events?.close();
  events = undefined;
  connected.value = false;
}

// A page that nobody sees lets its connection go: a browser has six of them for all its tabs together.
document.addEventListener("visibilitychange", () => {
  if (document.hidden) close();
  else if (watchers.size && !events) open();
});

function watch(again) {
  watchers.add(again);
  if (!events && !document.hidden) open();
  return () => {
    watchers.delete(again);
    if (!watchers.size) close();
  };
}

const pause = 700; // ms between two loads
const slow = 5000; // the lists may lag a moment behind what happened

// useLive calls load at once, whenever something happened while on, and every few seconds in any case. A load gets a signal that
// ends it when what it loads (deps) is no longer what is shown; what happens during one makes another follow. It gives a function that
// loads again.
export function useLive(on, load, deps) {
  const again = useRef();
  const work = useRef();
  work.current = load;
  useEffect(() => {
    const abort = new AbortController();
    let timer;
    let busy = false;
    let missed = false;
    const run = async () => {
      clearTimeout(timer);
      timer = undefined;
      missed = busy;
      if (busy || abort.signal.aborted) return;
      busy = true;
      await work.current(abort.signal).catch((e) => e.name === "AbortError" || console.error(e));
      busy = false;
      if (missed) soon();
    };
    const soon = () => (timer ??= setTimeout(run, pause));
    again.current = run;
    run();
    const leave = on ? watch(soon) : () => {};
    const every = on && setInterval(() => document.hidden || soon(), slow);
    return () => {
      abort.abort();
      leave();
      clearTimeout(timer);
      clearInterval(every);
    };
  }, [on, ...deps]);
  return () => again.current();
}
