"""Colours and layout of the report, by day and by night, for the page and for its plots."""

METHOD_COLOURS = (  # (light, dark), in this order; neighbours differ for colour-blind eyes, too
    ("#2a78d6", "#3987e5"),
    ("#eb6834", "#d95926"),
    ("#1baf7a", "#199e70"),
    ("#4a3aa7", "#9085e9"),
    ("#eda100", "#c98500"),
    ("#e87ba4", "#d55181"),
    ("#008300", "#3fa83f"),
    ("#e34948", "#e66767"),
)
_ROLES = {  # (light, dark)
    "page": ("#f4f4f1", "#0d0d0d"),
    "card": ("#fcfcfb", "#1a1a19"),
    "ink": ("#0b0b0b", "#f5f5f2"),
    "soft": ("#52514e", "#c3c2b7"),
    "muted": ("#74726d", "#94928b"),
    "line": ("#c3c2b7", "#464642"),
    "grid": ("#e4e3dc", "#2c2c2a"),
    "good": ("#006300", "#35b335"),
    "bad": ("#b3261e", "#f07c75"),
}


def method_colour(index: int) -> str:
    """CSS variable of the colour of the method with this index; they repeat after eight."""
    return f"m{index % len(METHOD_COLOURS)}"


def variables() -> dict[str, tuple[str, str]]:
    """CSS variable to its value by day and by night."""
    methods = {method_colour(i): pair for i, pair in enumerate(METHOD_COLOURS)}
    return {**_ROLES, **methods}


def stylesheet() -> str:
    """The CSS of the page."""
    light, dark = (
        "".join(f"--{name}:{pair[mode]};" for name, pair in variables().items()) for mode in (0, 1)
    )
    return (
        f":root{{color-scheme:light dark;{light}}}\n"
        f"@media (prefers-color-scheme:dark){{:root{{{dark}}}}}\n{_RULES}"
    )


_RULES = """
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%;scroll-behavior:smooth}
body{margin:0;background:var(--page);color:var(--ink);
  font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif}
main,header,footer{max-width:1240px;margin:0 auto;padding:0 20px}
header{padding-top:28px}
h1{font-size:27px;line-height:1.2;margin:0 0 6px}
h2{font-size:19px;line-height:1.3;margin:0 0 4px}
h3{font-size:15px;margin:22px 0 6px}
p{margin:6px 0;max-width:78ch}
a{color:inherit}
code{font:12.5px/1.4 ui-monospace,"DejaVu Sans Mono",monospace;overflow-wrap:anywhere}
.lede,.source,figcaption small,.note{color:var(--soft)}
.source{font-size:12.5px;margin-top:14px;border-top:1px solid var(--grid);padding-top:8px;
  max-width:none}
nav{position:sticky;top:0;z-index:3;background:var(--page);border-bottom:1px solid var(--grid);
  margin-top:14px}
nav div{max-width:1240px;margin:0 auto;padding:8px 20px;display:flex;gap:6px 18px;overflow-x:auto;
  white-space:nowrap;scrollbar-width:thin}
nav a{color:var(--soft);text-decoration:none;font-size:13.5px}
nav a:hover{color:var(--ink);text-decoration:underline}
section{background:var(--card);border:1px solid var(--grid);border-radius:10px;padding:18px 20px;
  margin:16px 0;scroll-margin-top:50px}
.key{display:flex;flex-wrap:wrap;gap:4px 18px;padding:0;margin:10px 0;list-style:none;
  font-size:13.5px}
i.dot{display:inline-block;width:11px;height:11px;border-radius:3px;
  margin-right:6px;vertical-align:-1px}
.scroll{overflow-x:auto;margin:8px 0;scrollbar-width:thin}
table{border-collapse:separate;border-spacing:0;font-size:13.5px;font-variant-numeric:tabular-nums}
th,td{padding:6px 11px;text-align:right;border-bottom:1px solid var(--grid);white-space:nowrap;
  vertical-align:top}
th{font-weight:600;color:var(--soft)}
tbody th{color:var(--ink)}
th:first-child,td:first-child,.left td,.left th{text-align:left}
th:first-child{position:sticky;left:0;background:var(--card);z-index:1}
.second td:nth-child(2),.second th:nth-child(2){text-align:left}
.left td{white-space:normal;min-width:130px;max-width:420px;overflow-wrap:anywhere}
td small,th small{display:block;font-size:12px;font-weight:400;color:var(--muted)}
td .good{color:var(--good)}
td .bad{color:var(--bad)}
.grid{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,340px),1fr));
  gap:14px 20px;margin:10px 0}
.grid.narrow{grid-template-columns:repeat(auto-fill,minmax(min(100%,255px),1fr))}
figure{margin:0;min-width:0}
figcaption{font-size:13.5px;font-weight:600;margin-bottom:2px}
figcaption small{display:block;font-weight:400;font-size:12.5px}
figure svg{display:block;width:100%;height:auto}
svg image{image-rendering:pixelated}
figure img{display:block;max-width:100%;height:auto;border-radius:4px}
.crops{display:grid;grid-template-columns:repeat(auto-fill,minmax(104px,1fr));gap:10px;
  margin:6px 0 10px}
.crops figcaption{font-weight:400;font-size:12.5px;line-height:1.35;margin:4px 0 0}
.crops img{width:100%}
details>h3:first-of-type{margin-top:10px}
wbr{display:none}
details{margin:10px 0}
summary{cursor:pointer;font-weight:600;font-size:14px}
footer{padding-bottom:30px;color:var(--muted);font-size:12.5px}
@media (max-width:600px){
  main,header,footer{padding-left:12px;padding-right:12px}
  nav div{padding:8px 12px}
  section{padding:14px 13px}
  h1{font-size:22px}
  th,td{padding:6px 7px}
  tbody th:first-child{min-width:8.5em;white-space:normal;
    overflow-wrap:break-word}
  wbr{display:inline}
  .short tbody th:first-child{min-width:0}
}
@media print{nav{display:none}section{break-inside:avoid-page}}
"""
