"""Classes of service by one name each, whoever served.

A price may have a factor for a class, so every vendor's word for the ordinary one must come out the same: as none.

| here | in the vendors' words |
|---|---|
| empty | `auto`, `default`, `standard`, `standard_only`, `on_demand`, `unspecified`, and nothing |
| `flex` | `flex`; Vertex: `ON_DEMAND_FLEX` |
| `priority` | `priority`; Vertex: `ON_DEMAND_PRIORITY` |
| `offpeak` | Vertex: `ON_DEMAND_OFFPEAK` |
| `batch`, `scale`, `fast`, `ultrafast`, `reserved` | the same; `fast` is also Anthropic's `speed` |
| `provisioned` | `provisioned`; Vertex: `PROVISIONED_THROUGHPUT` |

Any other word stands for itself, in lower case: a price that does not know it charges as for the ordinary class.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

__all__ = ["tier_of"]

LONGEST = 32
"""Characters of a name that is not in the table; the rest is cut off."""

NAMES: Mapping[str, str] = MappingProxyType(
    {
        "": "",
        "auto": "",
        "default": "",
        "standard": "",
        "standard_only": "",
        "on_demand": "",
        "unspecified": "",
        "traffic_type_unspecified": "",
        "on_demand_flex": "flex",
        "on_demand_priority": "priority",
        "on_demand_offpeak": "offpeak",
        "provisioned_throughput": "provisioned",
    }
)


def tier_of(stated: Any) -> str:
    """The neutral name of what a vendor calls the class of service; empty for the ordinary one, and for no name."""
    if stated is None or stated == "default" or not isinstance(stated, str):
        return ""
    name = stated.lower()
    known = NAMES.get(name)
    return name[:LONGEST] if known is None else known
