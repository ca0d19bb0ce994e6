"""How far today's catalog is from the one the champion was trained on, and what that asks for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from pipelines.parameters.data import GrowthConfig

Answer = Literal["nothing", "index", "retrain"]
EXIT_CODES: dict[Answer, int] = {"nothing": 6, "index": 10, "retrain": 11}
"""6 as for every command that finds nothing to do; 10 and 11 belong to this one alone."""


@dataclass(frozen=True)
class DataState:
    """Ids and counts of one state of the data.

    Args:
        items: ids of the catalog that nights are written from.
        users: keys of the users of the core.
        interactions: rows of the core.
        missing_images: share of items without a readable picture.
        last: last timestamp.
    """

    items: frozenset[str]
    users: frozenset[str]
    interactions: int
    missing_images: float
    last: int


@dataclass(frozen=True)
class Growth:
    """What changed, and what to do.

    Args:
        answer: what to do.
        reasons: why.
        figures: counts and shares, by name.
    """

    answer: Answer
    reasons: tuple[str, ...]
    figures: Mapping[str, Any] = field(default_factory=dict)


def judge_growth(then: DataState, now: DataState, drifted: Sequence[str], config: GrowthConfig) -> Growth:
    """Say what the changes since the champion's training ask for.

    ``retrain`` when a bound of ``config`` is passed or a field drifted; ``index`` when anything changed that a night
    can take up without a training: new or removed items, new interactions; ``nothing`` otherwise.

    Args:
        then: the data of the champion.
        now: today's.
        drifted: fields that drifted past a critical bound, with what was found.
        config: the bounds.
    """
    new_items, gone = now.items - then.items, then.items - now.items
    new_users = now.users - then.users
    interactions = (now.interactions - then.interactions) / max(1, then.interactions)
    figures: dict[str, Any] = {
        "new_items": len(new_items),
        "removed_items": len(gone),
        "new_item_share": round(len(new_items) / max(1, len(now.items)), 6),
        "new_users": len(new_users),
        "new_user_share": round(len(new_users) / max(1, len(now.users)), 6),
        "new_interactions": now.interactions - then.interactions,
        "new_interaction_share": round(interactions, 6),
        "missing_images": round(now.missing_images, 6),
        "missing_images_then": round(then.missing_images, 6),
        "drifted_fields": len(drifted),
    }
    rise = now.missing_images - then.missing_images
    bounds = [
        ("new items", figures["new_item_share"], config.max_new_items),
        ("new users", figures["new_user_share"], config.max_new_users),
        ("new interactions", interactions, config.max_new_interactions),
        ("items that lost their picture", rise, config.max_missing_images),
    ]
    reasons = [f"{name} {value:.1%}, above {bound:.1%}" for name, value, bound in bounds if value > bound]
    reasons += [f"drift of {found}" for found in drifted]
    if reasons:
        return Growth("retrain", tuple(reasons), figures)
    changes = [
        f"{count} {name}" for name, count in (("new items", len(new_items)), ("removed items", len(gone))) if count
    ]
    if now.last > then.last or now.interactions != then.interactions:
        changes.append(f"{now.interactions - then.interactions:+d} interactions")
    return Growth("index" if changes else "nothing", tuple(changes or ["no change"]), figures)
