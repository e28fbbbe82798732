"""Say once what AWS AppSync keeps silent about: fields a mutation did not select, and events it drops."""

import logging
from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence
from typing import Any, Protocol

from headwater.realtime.argument_filter import argument_rules
from headwater.realtime.filters import Path, Rule
from headwater.realtime.registry import Cohort, Projection

logger = logging.getLogger(__name__)

# Selections and filters are few; a client that makes up ever new ones may be warned again.
_MAX_REMEMBERED = 1024
_MAX_SHOWN_CHARACTERS = 120


class PublishedMutation(Protocol):
    """A completed mutation field with the tree of what it selected (empty: unknown)."""

    @property
    def mutation_field(self) -> str: ...

    @property
    def selected(self) -> Mapping[str, Any]: ...


class SilenceWarnings:
    """Remembers what it has looked at, so that each warning comes once and looking costs little afterwards."""

    def __init__(self) -> None:
        self._seen: set[Hashable] = set()
        # The selection that was looked at last for a group: plans keep theirs, so it is nearly always the very same.
        self._selections: dict[Hashable, Mapping[str, Any]] = {}

    def check_arguments(self, projection: Projection, arguments: Mapping[str, Any]) -> None:
        """As check_rules, for a subscription that its arguments filter."""
        for name, value in arguments.items():
            # Their rules are only written out for a kind of value that is new.
            if self._is_new((projection.field_name, name, value.__class__)):
                self.check_rules(projection, argument_rules({name: value}))

    def check_rules(self, projection: Projection, rules: Iterable[Rule]) -> None:
        """A filter that nothing passes is a mistake, whether for its values or for the type of the event."""
        for rule in rules:
            is_vain = _matches_nothing(rule)
            key = (projection.field_name, rule.path, is_vain, *map(type, rule.values))
            # An explicit null as an argument asks for an absent field.
            if rule.value is None or not self._is_new(key):
                continue
            fault = projection.filter_fault(rule.path, rule.values)
            if fault is None and is_vain:
                fault = f"{rule.operator} {list(rule.values)} matches nothing"
            if fault is not None:
                logger.warning("%s filters on %s, but %s", projection.field_name, ".".join(rule.path), fault)

    def check_rights(self, projection: Projection) -> None:
        """A field that the subscriber may not see arrives as null, or takes its parent with it."""
        refused = projection.refused_fields()
        if refused and self._is_new(("rights", projection.group_key)):
            logger.warning(
                "a subscriber of %s may not see %s: it gets null there", projection.field_name, ", ".join(refused)
            )

    def check_filters(self, published: PublishedMutation, paths: Collection[Path]) -> None:
        """A filter on a field that was not selected never matches."""
        selected = published.selected
        if not selected:
            return
        for path in paths:
            if not is_selected(selected, path) and self._is_new((published.mutation_field, path)):
                logger.warning(
                    "%s does not select %s, which subscriptions filter on: they will not get its events",
                    published.mutation_field,
                    ".".join(path),
                )

    def check_selection(self, published: PublishedMutation, cohort: Cohort[Any]) -> None:
        """A field that was not selected arrives as null, or takes its parent with it."""
        selected, projection = published.selected, cohort.projection
        group_key = projection.group_key
        if not selected or self._selections.get(group_key) is selected:
            return
        if len(self._selections) >= _MAX_REMEMBERED:
            self._selections.clear()
        self._selections[group_key] = selected
        if not self._is_new((published.mutation_field, group_key, tuple(selected))):
            return
        missing = projection.unselected_fields(selected)
        if missing:
            logger.warning(
                "%s does not select %s: subscribers of %s get null there",
                published.mutation_field,
                ", ".join(missing),
                projection.field_name,
            )

    def tell_dropped(self, published: PublishedMutation, size_bytes: int) -> None:
        """An event above the limit reaches nobody, and its publisher sees success."""
        if self._is_new((published.mutation_field, "dropped")):
            logger.warning("%s: an event of %d bytes was dropped, as AWS does", published.mutation_field, size_bytes)

    def tell_refused_filter(self, detail: str) -> None:
        """The service's answer to a filter that may not be set does not say which value was wrong."""
        if self._is_new(detail):
            logger.warning("a subscription was refused: %s", detail)

    def tell_other_protocol(self, offered: Sequence[str]) -> None:
        """`NoProtocolError` does not say which protocol is missing."""
        if self._is_new("protocol"):
            found = ", ".join(offered)[:_MAX_SHOWN_CHARACTERS] or "none"
            logger.warning(
                "a real-time client offers the subprotocols %s: AppSync speaks graphql-ws alone (Amplify, "
                "aws-appsync-subscription-link), not graphql-transport-ws (urql, Apollo's GraphQLWsLink)",
                found,
            )

    def tell_missing_payload(self) -> None:
        """The service wants both query parameters."""
        if self._is_new("payload"):
            logger.warning(
                "a real-time client sends header in its query without payload=e30=, which AWS wants beside it"
            )

    def tell_unknown_field(self, subscription_field: str) -> None:
        """An invalidation of what nobody can subscribe to ends nothing, and its mutation succeeds."""
        if self._is_new(("invalidation", subscription_field)):
            name = subscription_field[:_MAX_SHOWN_CHARACTERS]
            logger.warning("a mutation invalidates subscriptions to %s, which is no subscription field", name)

    def tell_denied(self, reason: str) -> None:
        """Amplify takes a field its caller may not see for an expired token."""
        if self._is_new(("denied", reason)):
            text = "a subscription was refused: %s; Amplify closes its connection over this and connects again"
            logger.warning(text, reason)

    def tell_refused_message(self, kind: str, reason: str) -> None:
        """The service's answer to a message it does not understand says nothing of the reason."""
        if self._is_new((kind, reason)):
            logger.warning("a client's %s was refused: %s", kind, reason)

    def tell_rate(self, limit: int | None) -> None:
        """A client starts subscriptions faster than the service takes them."""
        if self._is_new("rate"):
            logger.warning("a client starts more than %s subscriptions a second: AWS would refuse them", limit)

    def tell_quota(self, what: str, limit: int | None, consequence: str) -> None:
        """An API as a whole goes beyond a quota of the service."""
        if self._is_new(("quota", what)):
            logger.warning("more than %s %s a second: %s", limit, what, consequence)

    def _is_new(self, what: Hashable) -> bool:
        if what in self._seen:
            return False
        if len(self._seen) >= _MAX_REMEMBERED:
            self._seen.clear()
        self._seen.add(what)
        return True


def _matches_nothing(rule: Rule) -> bool:
    # The ends of `between` are left out.
    return rule.operator == "between" and not rule.values[0] < rule.values[1]


def is_selected(selected: Mapping[str, Any], path: Path) -> bool:
    """Whether a mutation's selection, as nested mappings of real field names, holds a path."""
    for name in path:
        below = selected.get(name)
        if below is None:
            return False
        if not below:
            # A leaf; what a filter finds below it (AWSJSON) is not the selection's business.
            return True
        selected = below
    return True
