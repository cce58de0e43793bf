// A chart of some lines over time.
import { useEffect, useRef } from "preact/hooks";
import uPlot from "uplot";
import { html } from "./parts.js";

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const digits = (v) => (v === null || v === undefined ? "–" : v >= 100 ? v.toFixed(0) : v >= 1 ? v.toFixed(1) : v === 0 ? "0" : v.toFixed(2));

const clock = (t, span) => new Date(t * 1000).toLocaleTimeString(undefined, { hour: "2-digit", minute: "2-digit", second: span < 600 ? "2-digit" : undefined, hour12: false });

export function Chart({ title, unit, data, lines }) {
  const box = useRef();
  const plot = useRef();
  const columns = data ? [data.at, ...lines.map(([key]) => data[key])] : [[], ...lines.map(() => [])];
  const shown = useRef();
  shown.current = columns;
  const last = lines.map(([key, label]) => `${label} ${digits(data?.[key].at(-1))}${unit}`).join(", ");

  useEffect(() => {
    const dark = matchMedia("(prefers-color-scheme: dark)");
    const make = () => {
      plot.current?.destroy();
      const axis = { stroke: colour("--faint"), grid: { stroke: colour("--line"), width: 1 }, ticks: { stroke: colour("--line"), width: 1 }, font: "12px system-ui, sans-serif" };
      plot.current = new uPlot({
        width: box.current.clientWidth, height: 160, legend: { show: false }, cursor: { show: false },
        scales: { y: { range: (u, min, max) => [0, Math.max(max || 0, 1) * 1.1] } },
        series: [{}, ...lines.map(([, label, c]) => ({ label, stroke: colour(c), width: 2, spanGaps: false, points: { show: (u) => u.data[0].length < 60, size: 4 } }))],
        axes: [{ ...axis, size: 32, space: 80, values: (u, ticks) => ticks.map((t) => clock(t, u.scales.x.max - u.scales.x.min)) },
          { ...axis, size: 52, values: (u, ticks) => ticks.map((t) => new Intl.NumberFormat("en", { notation: "compact" }).format(t)) }],
      }, shown.current, box.current);
    };
    make();
    const size = new ResizeObserver(() => plot.current.setSize({ width: box.current.clientWidth, height: 160 }));
    size.observe(box.current);
    dark.addEventListener("change", make);
    return () => {
      size.disconnect();
      dark.removeEventListener("change", make);
      plot.current.destroy();
    };
  }, []);
  useEffect(() => plot.current.setData(columns), [data]);

  return html`<figure class="card chart">
    <figcaption><b>${title}</b> <span class="keys">${lines.map(([key, label, c]) => html`<span class="key"><i class=${"swatch s" + c.slice(3)}></i>${label} <b>${digits(data?.[key].at(-1))}${data?.[key].at(-1) == null ? "" : unit}</b></span>`)}</span></figcaption>
    <div ref=${box} role="img" aria-label=${`${title} over time; now ${last}`}></div>
  </figure>`;
}
