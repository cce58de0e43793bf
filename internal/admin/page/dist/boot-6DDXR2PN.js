var e=!1,t=()=>{e||(e=!0,import("./main-VNJKUO4B.js"))};new PerformanceObserver(t).observe({type:"paint",buffered:!0});setTimeout(t,100);
