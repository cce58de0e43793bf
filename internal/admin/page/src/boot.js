// Starts the page once the browser has painted the frame that is in index.html: the scripts would hold that up. Where nothing is painted,
// since nobody sees the page, it starts all the same.
let started = false;
const start = () => {
  if (started) return;
  started = true;
  import("./main.js");
};
new PerformanceObserver(start).observe({ type: "paint", buffered: true });
setTimeout(start, 100);
