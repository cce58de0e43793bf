var e=()=>import("./main-VNJKUO4B.js");document.hidden?e():requestAnimationFrame(()=>setTimeout(e));
