"""Argument specs and module documentation to Markdown. Pure: data in, text out."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import yaml

MADE = "<!-- Made by `make docs` from {source}: change that, not this page. -->"
BEGIN = "<!-- variables: made by `make docs` from meta/argument_specs.yml -->"
END = "<!-- end of variables -->"

LINK = re.compile(r"\bL\(([^,)]+), *([^)]+)\)")
PLAIN_LINK = re.compile(r"\bU\(([^)]+)\)")
BOLD = re.compile(r"\bB\(([^)]+)\)")
ITALIC = re.compile(r"\bI\(([^)]+)\)")
CODE = re.compile(r"\b(?:C|V|O|E|M|P|RV)\(((?:[^()\\]|\\.)+)\)")


def prose(text: str) -> str:
    """Ansible's documentation markup as Markdown."""
    text = LINK.sub(r"[\1](\2)", text)
    text = PLAIN_LINK.sub(r"<\1>", text)
    text = BOLD.sub(r"**\1**", text)
    text = ITALIC.sub(r"*\1*", text)
    return CODE.sub(lambda found: "`" + re.sub(r"\\(.)", r"\1", found[1]).split("#")[0] + "`", text)


def paragraphs(text: str | Sequence[str] | None) -> list[str]:
    """A description, which may be one string or a list of them."""
    if not text:
        return []
    return [prose(part.strip()) for part in ([text] if isinstance(text, str) else text)]


def cell(text: str) -> str:
    """Text as it can stand in a cell of a table."""
    return text.replace("|", "\\|").replace("\n", " ")


def type_of(option: Mapping[str, Any]) -> str:
    """The type in words: `list of dict`, `str: a, b or c`."""
    words = str(option.get("type", "str"))
    if option.get("elements"):
        words += f" of {option['elements']}"
    choices = option.get("choices")
    if choices:
        words += ": " + ", ".join(f"`{json.dumps(c) if isinstance(c, bool) else c}`" for c in choices)
    return words


def default_of(option: Mapping[str, Any]) -> str:
    """The default as it is written in a variables file, or that there must be a value."""
    if option.get("required"):
        return "required"
    if option.get("default") is None:
        return ""
    return f"`{json.dumps(option['default'], ensure_ascii=False)}`"


def rows(options: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """One row an option, in the order of the specs; what is inside a structure follows it, by its path."""
    for name, option in options.items():
        path = f"{prefix}{name}"
        said = "<br>".join(paragraphs(option.get("description")))
        yield f"| `{path}` | {cell(type_of(option))} | {cell(default_of(option))} | {cell(said)} |"
        inside = option.get("options") or option.get("suboptions")
        if inside:
            yield from rows(inside, f"{path}[]." if option.get("type") == "list" else f"{path}.")


def option_table(options: Mapping[str, Any], head: str) -> list[str]:
    """All options as a table, or a line that says that there are none."""
    if not options:
        return ["None."]
    return [f"| {head} | Type | Default | What it is |", "|---|---|---|---|", *rows(options)]


def role_page(role: str, specs: Mapping[str, Any]) -> str:
    """The page of a role: each entry point with its variables."""
    lines = [MADE.format(source=f"roles/{role}/meta/argument_specs.yml"), f"# Role steelyard.stack.{role}", ""]
    for entry, spec in specs.items():
        title = spec.get("short_description", "")
        lines += [f"## `{entry}`: {prose(title)}" if title else f"## `{entry}`", ""]
        for paragraph in paragraphs(spec.get("description")):
            lines += [paragraph, ""]
        lines += [*option_table(spec.get("options") or {}, "Variable"), ""]
    lines += [f"A short introduction is in [roles/{role}/README.md](../../roles/{role}/README.md)."]
    return "\n".join(lines) + "\n"


def role_variables(specs: Mapping[str, Any]) -> str:
    """The part of a role's README that is made: the variables of its main entry point."""
    options = specs.get("main", {}).get("options") or {}
    return "\n".join([BEGIN, "", *option_table(options, "Variable"), "", END])


def with_variables(readme: str, specs: Mapping[str, Any]) -> str:
    """A role's README with its made part as it should be; where it has none yet, it comes at the end."""
    made = role_variables(specs)
    if BEGIN in readme and END in readme:
        before, rest = readme.split(BEGIN, 1)
        return before + made + rest.split(END, 1)[1]
    return readme.rstrip("\n") + "\n\n## Variables\n\n" + made + "\n"


def returned(values: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """One row a returned value."""
    for name, value in values.items():
        said = "<br>".join(paragraphs(value.get("description")))
        sample = value.get("sample")
        shown = "" if sample is None else f"`{json.dumps(sample, ensure_ascii=False)}`"
        cells = (f"`{prefix}{name}`", type_of(value), prose(str(value.get("returned", ""))), said, shown)
        yield "| " + " | ".join(cell(text) for text in cells) + " |"
        if value.get("contains"):
            yield from returned(
                value["contains"], f"{prefix}{name}[]." if value.get("type") == "list" else f"{prefix}{name}."
            )


def attributes(doc: Mapping[str, Any]) -> list[str]:
    """What a module says about check mode, diff mode and idempotence."""
    known = doc.get("attributes") or {}
    if not known:
        return []
    lines = ["## Attributes", "", "| Attribute | Support | What it means |", "|---|---|---|"]
    for name, attribute in known.items():
        said = " ".join([*paragraphs(attribute.get("description")), *paragraphs(attribute.get("details"))])
        lines.append(f"| {name} | {attribute.get('support', '')} | {cell(said)} |")
    return [*lines, ""]


def plugin_page(kind: str, name: str, entry: Mapping[str, Any]) -> str:
    """The page of a module, lookup or filter, from what ansible-doc knows."""
    doc = entry["doc"]
    source = f"plugins/{'modules' if kind == 'module' else kind}"
    lines = [
        MADE.format(source=source),
        f"# {name} ({kind})",
        "",
        prose(doc["short_description"].rstrip(".")) + ".",
        "",
    ]
    for paragraph in paragraphs(doc.get("description")):
        lines += [paragraph, ""]
    lines += ["## Options", "", *option_table(doc.get("options") or {}, "Option"), "", *attributes(doc)]
    if doc.get("notes"):
        lines += ["## Notes", "", *(f"- {note}" for note in paragraphs(doc["notes"])), ""]
    examples = entry.get("examples")
    if examples:
        text = examples if isinstance(examples, str) else yaml.safe_dump(examples)
        lines += ["## Examples", "", "```yaml", text.strip("\n"), "```", ""]
    if entry.get("return"):
        head = ["| Value | Type | Returned | What it is | Sample |", "|---|---|---|---|---|"]
        lines += ["## Returned values", "", *head, *returned(entry["return"]), ""]
    return "\n".join(lines).rstrip("\n") + "\n"


def index_page(title: str, source: str, names: Mapping[str, str]) -> str:
    """A list of pages with one line each."""
    lines = [MADE.format(source=source), f"# {title}", ""]
    lines += [f"- [{name}]({name.rsplit('.', 1)[-1]}.md): {prose(said)}" for name, said in names.items()]
    return "\n".join(lines) + "\n"
