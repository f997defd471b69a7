"""docs/settings.md, made from the settings: python -m service.settings_page"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from service.settings import PREFIX, Settings

PAGE = Path("docs/settings.md")
HEAD = """# Settings

Made from the settings by `python -m service.settings_page`; a test checks that it is current.

A flag of `winnow serve` beats the environment, the environment beats the settings file (TOML; `--config` or
`WINNOW_CONFIG`), the file beats the default. A name that is no setting is refused with a suggestion; `WINNOW_SERVICE_*`
and `WINNOW_PORT*`, which Kubernetes injects for a Service named winnow, are ignored. In a file the part before the dot
is a section: `[http]`, below it `bind = "0.0.0.0:8000"`.
"""


def page() -> str:
    """The whole page. Raises ValueError for a setting without a meaning."""
    lines = [HEAD, "| setting | environment | default | meaning |", "| --- | --- | --- | --- |"]
    return "\n".join([*lines, *(row(name, field) for name, field in settings())]) + "\n"


def settings(model: type[BaseModel] = Settings, prefix: str = "") -> Iterator[tuple[str, FieldInfo]]:
    """Every setting by its dotted name, those of a section after those without one."""
    sections = []
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            sections.append((f"{prefix}{name}.", field.annotation))
        else:
            yield prefix + name, field
    for name, section in sections:
        yield from settings(section, name)


def row(name: str, field: FieldInfo) -> str:
    if not field.description:
        raise ValueError(f"the setting {name} needs a docstring below its line in service/settings.py")
    value = field.default
    if isinstance(value, bool):
        value = str(value).lower()
    elif isinstance(value, tuple):
        value = ",".join(value) or None
    default = "" if value is None else f"`{value}`"
    return f"| `{name}` | `{PREFIX}{name.replace('.', '__').upper()}` | {default} | {field.description} |"


def main(path: Path = PAGE) -> int:
    path.write_text(page(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
