var e=!1,t=()=>{e||(e=!0,import("./main-VEP5BXXX.js"))};new PerformanceObserver(t).observe({type:"paint",buffered:!0});setTimeout(t,100);
