// A chart of some lines, or of bars, over time. What draws it is fetched when the first one is shown.
import { useEffect, useRef } from "preact/hooks";
import { html } from "./parts.js";
import { clock } from "./text.js";

const height = 160;
const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const known = (v) => v !== null && v !== undefined;
const digits = (v) => (!known(v) ? "–" : v >= 100 || Number.isInteger(v) ? Math.round(v).toLocaleString("en") : v >= 1 ? v.toFixed(1) : v.toFixed(2));
const compact = new Intl.NumberFormat("en", { notation: "compact" });

// Chart shows columns of data: at (seconds since 1970) and one for each of lines, [key, label, colour]. With bars, each stands for what
// was counted from its time on, for as many seconds as bars says.
export function Chart({ title, unit, data, lines, bars }) {
  const box = useRef();
  const plot = useRef();
  const columns = data ? [data.at, ...lines.map(([key]) => data[key])] : [[], ...lines.map(() => [])];
  const shown = useRef();
  shown.current = { columns, bars };
  const now = lines.map(([key, label]) => `${label} ${digits(data?.[key].at(-1))}${unit}`).join(", ");

  useEffect(() => {
    const dark = matchMedia("(prefers-color-scheme: dark)");
    const size = new ResizeObserver(() => box.current && plot.current?.setSize({ width: box.current.clientWidth, height }));
    let gone = false;
    let make;
    import("uplot").then(({ default: uPlot }) => {
      if (gone) return;
      make = () => {
        if (!box.current) return;
        plot.current?.destroy();
        const axis = { stroke: colour("--faint"), grid: { stroke: colour("--line"), width: 1 }, ticks: { stroke: colour("--line"), width: 1 }, font: "12px system-ui, sans-serif" };
        const drawn = bars ? { paths: uPlot.paths.bars({ size: [0.8, 40], align: 1 }), points: { show: false } }
          : { width: 2, spanGaps: false, points: { show: (u) => u.data[0].length < 60, size: 4 } };
        plot.current = new uPlot({
          width: box.current.clientWidth, height, padding: [16, 24, 0, 0], legend: { show: false }, cursor: { show: false },
          scales: { x: { range: (u, min, max) => [min, max + (shown.current.bars || 0)] }, y: { range: (u, min, max) => [0, Math.max(max || 0, 1) * 1.1] } },
          series: [{}, ...lines.map(([, label, c]) => ({ label, stroke: colour(c), fill: bars ? colour(c) : undefined, ...drawn }))],
          axes: [{ ...axis, size: 32, space: 80, values: (u, ticks) => ticks.map((t) => clock(t * 1000, u.scales.x.max - u.scales.x.min < 600)) },
            { ...axis, size: 52, incrs: bars ? [1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 1e4, 1e5, 1e6, 1e7, 1e8] : undefined, values: (u, ticks) => ticks.map((t) => compact.format(t)) }],
        }, shown.current.columns, box.current);
      };
      make();
      size.observe(box.current);
      dark.addEventListener("change", make);
    });
    return () => {
      gone = true;
      size.disconnect();
      if (make) dark.removeEventListener("change", make);
      plot.current?.destroy();
      plot.current = undefined;
    };
  }, []);
  useEffect(() => plot.current?.setData(columns), [data]);

  return html`<figure class="card chart">
    <figcaption><b>${title}</b>
      <span class="keys">${!bars && lines.map(([key, label, c]) => html`<span class="key"><i class=${"swatch s" + c.slice(3)}></i>${label} <b>${digits(data?.[key].at(-1))}${known(data?.[key].at(-1)) ? unit : ""}</b></span>`)}</span></figcaption>
    <div class="plot" ref=${box} role="img" aria-label=${bars ? `${title}: ${digits(data?.[lines[0][0]].reduce((a, b) => a + (b || 0), 0))}` : `${title} over time; now ${now}`}></div>
  </figure>`;
}
