// Starts the page once the browser has painted the frame that is in index.html: the scripts would hold that up. A page that nobody
// sees is not painted.
const start = () => import("./main.js");
if (document.hidden) start();
else requestAnimationFrame(() => setTimeout(start));
