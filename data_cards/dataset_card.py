"""Cards of datasets by huggingface_hub's classes: front matter as data, and every section by one template."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

TEMPLATE = """\
---
{{ card_data }}
---

# {{ title }}
{% if lead %}
{{ lead }}
{% endif %}{% for heading, text in sections.items() %}
## {{ heading }}

{{ text }}
{% endfor %}"""


def render(front: Mapping[str, Any], title: str, sections: Mapping[str, str], lead: str = "") -> str:
    """The README.md of a dataset; the same arguments give the same text. lead: stands before the first section."""
    from huggingface_hub import DatasetCard, DatasetCardData

    card = DatasetCard.from_template(
        DatasetCardData(**front), template_str=TEMPLATE, title=title, sections=sections, lead=lead
    )
    return f"{str(card).rstrip()}\n"
