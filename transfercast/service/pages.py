"""The page at /docs: all routes, their bodies and examples, from the OpenAPI schema. It fetches nothing."""

from __future__ import annotations

from typing import Any

from jinja2 import Environment

from transfercast.core.validation import shown

_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{{ title }}</title>
<style>
body { font: 16px/1.5 system-ui, sans-serif; max-width: 64em; margin: 2em auto; padding: 0 1em; color: #222 }
h2 code { font-size: 1em } pre { background: #f3f6f9; padding: .6em 1em; overflow-x: auto }
table { border-collapse: collapse; margin: .5em 0 1em } th, td { padding: .2em .8em .2em 0; text-align: left }
td, th { border-bottom: 1px solid #ddd; vertical-align: top }
</style>
<h1>{{ title }} {{ version }}</h1>
<p>{{ description }} The schema for programs is at <a href="openapi.json">openapi.json</a>.</p>
{% for route in routes %}
<h2><code>{{ route.method }} {{ route.path }}</code></h2>
<p>{{ route.about }}</p>
{% if route.fields %}<table><tr><th>field</th><th>type</th><th>default</th><th>bounds</th></tr>
{% for field in route.fields %}<tr><td><code>{{ field.name }}</code></td><td>{{ field.type }}</td><td>{{ field.default }}</td>
<td>{{ field.bounds }}</td></tr>
{% endfor %}</table>{% endif %}
<pre>{{ route.example }}</pre>
{% endfor %}
</html>
"""

_ROWS = (
    '"rows": [{"source": "gratitude", "target": "reviews", "features": {"logme": -0.61}}, '
    '{"source": "irony", "target": "reviews", "features": {"logme": -0.69}}], '
    '"columns": [{"name": "logme", "measure": "logme", "version": 1, "better": "higher", "group": "embeddings"}], '
    '"targets": {"reviews": {"score": 0.52}}'
)
EXAMPLES = {
    "/v1/forecasts": f"{{{_ROWS}}}",
    "/v1/plans": f'{{{_ROWS}, "budget": {{"trials": 1}}}}',
    "/v1/observations": '{"observations": [{"source": "gratitude", "target": "reviews", "score": 0.57, "encoder": "minilm"}]}',
    "/v1/retrain": '{"minutes": 1}',
}
"""Example bodies, by path."""


def page_of(schema: dict[str, Any], base: str) -> str:
    """The page of an OpenAPI schema; `base` is the address in its examples."""
    routes = [
        {
            "method": method.upper(),
            "path": path,
            "about": operation.get("description", ""),
            "fields": _fields(operation, schema),
            "example": _example(method.upper(), path, base),
        }
        for path, operations in schema["paths"].items()
        for method, operation in operations.items()
    ]
    return Environment(autoescape=True).from_string(_PAGE).render(routes=routes, **schema["info"])


def _example(method: str, path: str, base: str) -> str:
    address = f"{base}{path.replace('{name}', 'ID')}"
    if method == "GET":
        return f"curl {address}"
    body = EXAMPLES.get(path)
    return f"curl -X {method} {address}" + (f" \\\n  -H 'Content-Type: application/json' \\\n  -d '{body}'" if body else "")


def _fields(operation: dict[str, Any], schema: dict[str, Any]) -> list[dict[str, str]]:
    """The fields of an operation's body, with nested fields indented below."""
    content = operation.get("requestBody", {}).get("content", {})
    return _rows(content.get("application/json", {}).get("schema", {}), schema["components"]["schemas"], "")


def _rows(about: dict[str, Any], schemas: dict[str, Any], before: str) -> list[dict[str, str]]:
    rows = []
    about = _resolved(about, schemas)
    for name, field in about.get("properties", {}).items():
        required = name in about.get("required", ())
        default = "required" if required else shown(field["default"]) if "default" in field else ""
        rows.append({"name": before + name, "type": _type(field), "default": default, "bounds": _bounds(field)})
        inner, mark = field, ""
        if "items" in field:
            inner, mark = field["items"], "[]"
        elif "additionalProperties" in field:
            inner, mark = field["additionalProperties"], ".NAME"
        rows += _rows(inner, schemas, f"{before}{name}{mark}.")
    return rows


def _resolved(about: dict[str, Any], schemas: dict[str, Any]) -> dict[str, Any]:
    return schemas[about["$ref"].rpartition("/")[2]] if "$ref" in about else about


def _type(field: dict[str, Any]) -> str:
    if "anyOf" in field:
        return " or ".join(_type(choice) for choice in field["anyOf"])
    if "enum" in field:
        return " or ".join(repr(choice) for choice in field["enum"])
    return str(field.get("type", "object"))


_BOUNDS = {
    "minimum": "at least", "exclusiveMinimum": "above", "maximum": "at most", "exclusiveMaximum": "below",
    "minItems": "entries, at least", "maxItems": "entries, at most", "maxProperties": "entries, at most",
    "maxLength": "letters, at most",
}  # fmt: skip


def _bounds(field: dict[str, Any]) -> str:
    told = {**next((choice for choice in field.get("anyOf", ()) if choice.get("type") != "null"), {}), **field}
    return ", ".join(f"{words} {told[key]}" for key, words in _BOUNDS.items() if key in told)
