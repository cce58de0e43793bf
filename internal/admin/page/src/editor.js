// The editor of rules: YAML with highlighting, completion of the language, and the errors that aftermath itself gives. It lives in a
// shadow root, since CodeMirror there adopts its style sheets, which a strict Content-Security-Policy lets it.
import { EditorState } from "@codemirror/state";
import { EditorView, keymap, lineNumbers, highlightActiveLine, drawSelection } from "@codemirror/view";
import { defaultKeymap, history, historyKeymap, indentWithTab } from "@codemirror/commands";
import { HighlightStyle, syntaxHighlighting, indentUnit, bracketMatching } from "@codemirror/language";
import { autocompletion, completionKeymap, closeBrackets } from "@codemirror/autocomplete";
import { setDiagnostics, lintGutter } from "@codemirror/lint";
import { searchKeymap } from "@codemirror/search";
import { yaml } from "@codemirror/lang-yaml";
import { tags as t } from "@lezer/highlight";

const colours = syntaxHighlighting(HighlightStyle.define([
  { tag: [t.propertyName, t.definition(t.propertyName)], color: "var(--s-key)" },
  { tag: [t.string, t.special(t.string)], color: "var(--s-string)" },
  { tag: [t.comment, t.lineComment], color: "var(--faint)", fontStyle: "italic" },
  { tag: [t.number, t.bool, t.keyword, t.atom], color: "var(--s-word)" },
  { tag: [t.punctuation, t.separator, t.squareBracket, t.brace], color: "var(--faint)" },
]));

const theme = EditorView.theme({
  "&": { color: "var(--text)", backgroundColor: "var(--card)", fontSize: "13px", height: "100%" },
  "&.cm-focused": { outline: "2px solid var(--focus)", outlineOffset: "-1px" },
  ".cm-scroller": { fontFamily: "var(--mono)", lineHeight: "1.5" },
  ".cm-content": { caretColor: "var(--text)" },
  ".cm-cursor": { borderLeftColor: "var(--text)" },
  ".cm-gutters": { backgroundColor: "var(--card)", color: "var(--faint)", border: "none" },
  ".cm-activeLine, .cm-activeLineGutter": { backgroundColor: "var(--hover)" },
  "&.cm-focused > .cm-scroller > .cm-selectionLayer .cm-selectionBackground, .cm-selectionBackground": { backgroundColor: "var(--selection)" },
  ".cm-tooltip, .cm-panels": { backgroundColor: "var(--card)", color: "var(--text)", border: "1px solid var(--edge)", borderRadius: "6px" },
  ".cm-tooltip-autocomplete ul li[aria-selected]": { backgroundColor: "var(--accent)", color: "var(--on-accent)" },
  ".cm-tooltip-autocomplete > ul > li": { padding: "3px 8px" },
  ".cm-diagnostic": { padding: "6px 10px", borderLeft: "3px solid var(--bad)" },
});

const words = (type, list) => list.split(" ").map((label) => ({ label, type }));
const language = [
  ...words("variable", "From_Account To_Account CallbackCommand ClientIP OptPlatform RequestId SdkAppid PairCount PairIndex Mutual Time"),
  ...words("keyword", "in not contains startsWith endsWith matches true false and or"),
  ...words("function", "len lower upper trim trimPrefix trimSuffix indexOf lastIndexOf int float string abs min max floor ceil round cidr sample inZone")
    .map((c) => ({ ...c, apply: c.label + "(" })),
  ...words("variable", "Rule.Name Rule.Labels Delivery.ID Delivery.Attempt"),
];
const methods = words("method", "Hour() Minute() Weekday() Day() Month() Year() Unix()");
const keys = {
  "": ["version", "lists", "actions", "rules"],
  rule: ["name", "description", "condition", "actions", "stop", "enabled", "shadow", "labels"],
  action: ["type", "url", "method", "headers", "body", "secrets", "level", "message", "fields", "file", "to", "cc", "bcc", "subject", "text", "html", "timeout", "retry", "concurrency", "rate", "dry_run"],
};

// complete offers keys at the start of a line, and the language elsewhere.
function complete(names) {
  return (context) => {
    const line = context.state.doc.lineAt(context.pos);
    const before = line.text.slice(0, context.pos - line.from);
    const word = context.matchBefore(/[\w.-]*/);
    if (word.from === word.to && !context.explicit) return null;
    const known = names() || {};
    if (/Time\.\w*$/.test(before)) return { from: context.pos - /\w*$/.exec(before)[0].length, options: methods };
    if (/^\s*(- )?[\w]*$/.test(before)) {
      const indent = /^\s*(- )?/.exec(before)[0].length;
      const listed = /^\s*- [\w.-]*$/.test(before);
      const options = (indent === 0 ? keys[""] : indent <= 4 ? keys.rule : keys.action).map((label) => ({ label, type: "property", apply: label + ": " }));
      if (listed) options.push(...(known.actions || []).map((label) => ({ label, type: "constant" })));
      return { from: word.from, options };
    }
    if (/type: *\w*$/.test(before)) return { from: word.from, options: words("constant", "webhook log email") };
    if (/actions: *\[/.test(before)) return { from: word.from, options: (known.actions || []).map((label) => ({ label, type: "constant" })) };
    return { from: word.from, options: [...language, ...(known.lists || []).map((label) => ({ label, type: "constant", detail: "list" }))] };
  };
}

function mount(parent, doc, extensions, label, first = 1) {
  const root = parent.shadowRoot || parent.attachShadow({ mode: "open" });
  root.replaceChildren();
  const holder = document.createElement("div");
  holder.style.height = "100%";
  root.append(holder);
  return new EditorView({
    parent: holder, root,
    state: EditorState.create({ doc, extensions: [
      yaml(), colours, theme, lineNumbers({ formatNumber: (n) => String(n + first - 1) }), bracketMatching(), EditorView.contentAttributes.of({ "aria-label": label, tabindex: "0" }), EditorView.lineWrapping, ...extensions,
    ] }),
  });
}

export function viewer(parent, text, first) {
  return mount(parent, text.replace(/\n$/, ""), [EditorState.readOnly.of(true)], "the rule's source", first);
}

export function edit(parent, text, changed, names) {
  const view = mount(parent, text, [
    history(), drawSelection(), highlightActiveLine(), closeBrackets(), lintGutter(), indentUnit.of("  "),
    autocompletion({ override: [complete(names)] }),
    keymap.of([...completionKeymap, ...defaultKeymap, ...historyKeymap, ...searchKeymap, indentWithTab]),
    EditorView.updateListener.of((u) => u.docChanged && changed(u.state.doc.toString())),
  ], "rules, as YAML");
  const place = (line, column) => {
    const at = view.state.doc.line(Math.min(Math.max(1, line), view.state.doc.lines));
    // Columns are in characters; the editor counts in UTF-16.
    return Math.min(at.to, at.from + Array.from(at.text).slice(0, Math.max(0, column - 1)).join("").length);
  };
  return {
    destroy: () => view.destroy(),
    set: (doc) => view.dispatch({ changes: { from: 0, to: view.state.doc.length, insert: doc } }),
    selectAll: () => { view.dispatch({ selection: { anchor: 0, head: view.state.doc.length } }); view.focus(); },
    go(line, column) {
      const at = place(line, column);
      view.dispatch({ selection: { anchor: at }, effects: EditorView.scrollIntoView(at, { y: "center" }) });
      view.focus();
    },
    mark(problems) {
      view.dispatch(setDiagnostics(view.state, problems.map((p) => {
        const from = place(p.line, p.column);
        const rest = view.state.doc.lineAt(from);
        const word = /^[\p{L}\p{N}_.]+/u.exec(view.state.sliceDoc(from, rest.to));
        return { from, to: Math.min(rest.to, from + (word ? word[0].length : 1)), severity: p.warning ? "warning" : "error", message: p.message };
      })));
    },
  };
}
