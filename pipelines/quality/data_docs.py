"""Data Docs as a site that asks nothing of a network, runs no script, and comes out the same from the same data.

Great Expectations builds its pages for a browser with internet access: Bootstrap, jQuery and fonts come from public
servers, the index is filled by a script, and times and random ids differ from run to run. Here its pages lose all of
that and get a small stylesheet and a content security policy instead; a plain index takes the place of theirs.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment
from markupsafe import Markup

RUN_NAME = "gate"
STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; margin: 1.5rem auto; max-width: 75rem; padding: 0 1rem; color: #222; }
table { border-collapse: collapse; margin: .5rem 0; width: 100%; }
th, td { border: 1px solid #ccc; padding: .3rem .5rem; text-align: left; vertical-align: top; }
th, td { overflow-wrap: break-word; }
nav ol { list-style: none; display: flex; gap: 1rem; padding: 0; }
.sticky { display: none; }
.fa-check-circle::before { content: "passed"; color: #17692f; }
.fa-times::before { content: "failed"; color: #b3261e; font-weight: bold; }
.fa-exclamation-triangle::before { content: "warning"; color: #8a5a00; }
"""
HEAD = f"""<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<style>{STYLE}</style>
"""

# The pages' only text that is not ours or Great Expectations' own are numbers, so patterns suffice to edit them.
REMOVED = re.compile(
    r"<script\b.*?</script\s*>|<style\b.*?</style\s*>|<footer\b.*?</footer\s*>|<link\b[^>]*>|<img\b[^>]*>"
    r"|\son[a-z]+=\"[^\"]*\"|\b(?:href|src)=\"(?:https?:)?//[^\"]*\""
    r"|<tr>(?:(?!<tr>).)*?>\s*(?:Run Time|ge_load_time)\s*<.*?</tr>"
    rf"|(?<= / {RUN_NAME}) / [^<]*(?=</li>)",
    re.DOTALL | re.IGNORECASE,
)
RANDOM_ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
BLANK_LINES = re.compile(r"\n\s*\n+")

INDEX = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>{{ title }}</title>
{{ head }}
</head>
<body>
<h1>{{ title }}: {{ "passed" if verdict.passed else "failed" }}</h1>
<p>{{ verdict.critical_failures }} critical failures, {{ verdict.warnings }} warnings.</p>
<table>
<tr><th>table</th><th>rows</th></tr>
{% for table, rows in verdict.rows | dictsort %}
<tr><td>{{ table }}</td><td>{{ rows }}</td></tr>
{% endfor %}
</table>
<table>
<tr><th>suite</th><th>check</th><th>severity</th><th>result</th><th>observed</th><th>expected</th>
<th>offending rows</th><th>first of them</th></tr>
{% for check in verdict.checks %}
<tr><td>{{ check.suite | replace("_", " ") }}</td><td>{{ check.name | replace("_", " ") }}</td>
<td>{{ check.severity }}</td><td><i class="{{ "fa-check-circle" if check.passed else "fa-times" }}"></i></td>
<td>{{ "nothing" if check.observed is none else check.observed }}</td><td>{{ check.expected }}</td>
<td>{{ check.offending_count }}</td>
<td>{% for row in check.offending %}{% for key, value in row.items() %}{{ key }} {{ value }} {% endfor %}<br>
{% endfor %}</td></tr>
{% endfor %}
</table>
{% if verdict.not_checked %}
<h2>Not checked</h2>
<table>
<tr><th>suite</th><th>check</th><th>reason</th></tr>
{% for check in verdict.not_checked %}
<tr><td>{{ check.suite }}</td><td>{{ check.name }}</td><td>{{ check.reason }}</td></tr>
{% endfor %}
</table>
{% endif %}
<h2>Results by suite and table</h2>
<ul>
{% for link in links %}
<li><a href="{{ link.href }}">{{ link.name }}</a></li>
{% endfor %}
</ul>
</body>
</html>
"""


def seal_site(site: Path, workspace: Path) -> None:
    """Rewrite a site of Great Expectations in place: no scripts, no external references, no times, no random ids.

    Args:
        site: the site's folder.
        workspace: temporary folder of the validated files; its name is taken out of the pages.
    """
    shutil.rmtree(site / "static", ignore_errors=True)
    for moment in sorted(site.glob(f"validations/*/{RUN_NAME}/*")):
        moment.rename(moment.with_name("run"))
    for page in sorted(site.rglob("*.html")):
        page.write_text(seal_page(page.read_text(encoding="utf-8").replace(f"{workspace}/", "")), encoding="utf-8")


def seal_page(text: str) -> str:
    """Return one page as :func:`seal_site` leaves it."""
    text = REMOVED.sub("", text)
    for number, random_id in enumerate(dict.fromkeys(RANDOM_ID.findall(text)), start=1):
        text = text.replace(random_id, f"part-{number}")
    return BLANK_LINES.sub("\n", text.replace("<head>", f"<head>\n{HEAD}", 1))


def write_index(site: Path, verdict: Mapping[str, Any], title: str = "Data quality gate") -> None:
    """Write the site's index: the verdict, every check, its first offending rows, and links to the pages behind.

    Args:
        site: folder of a sealed site.
        verdict: see :func:`pipelines.quality.verdict.describe_gate`.
        title: heading of the page.
    """
    pages = [page.relative_to(site) for page in sorted(site.glob("validations/**/*.html"))]
    links = [{"href": page.as_posix(), "name": page.parts[1]} for page in pages]
    template = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string(INDEX)
    page = template.render(title=title, head=Markup(HEAD), verdict=verdict, links=links)  # noqa: S704 - HEAD is a constant
    (site / "index.html").write_text(page, encoding="utf-8")
