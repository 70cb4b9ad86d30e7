"""What an integration of each provider is configured by.

One table says it: the database's constraints are made of it, and so is the check before them that names each setting.
The patterns therefore keep to what regular expressions of Python and of PostgreSQL have in common.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from django.db import models
from django.db.models import F, Func, Q, Value
from django.db.models.fields.json import KeyTextTransform, KeyTransform
from django.db.models.lookups import Exact, Regex

from core.constraints import EVENT_PATTERN


class Provider(models.TextChoices):
    """Whose service it is."""

    GITHUB = "github", "GitHub"
    SLACK = "slack", "Slack"
    JIRA = "jira", "Jira"
    STRIPE = "stripe", "Stripe"
    CUSTOM = "custom", "Custom"


JSON_TYPES: dict[type, str] = {str: "string", list: "array", dict: "object"}
MOST = 50

URL = r"https?://[^/?#@\s]+(/[\x21-\x7e]*)?"
PLAN = r'"price_[A-Za-z0-9]{1,60}": "(free|pro|enterprise)"'


@dataclass(frozen=True)
class Setting:
    """One key of ``config``.

    Attributes:
        name: the key.
        rule: what its value must be, in words that follow “must be”.
        pattern: what the value matches as a whole; a list or an object as PostgreSQL writes it.
        kind: its type.
        required: whether it must be there.
    """

    name: str
    rule: str
    pattern: str
    kind: type = str
    required: bool = False

    @property
    def message(self) -> str:
        """Return what is said of a value that isn't right."""
        return f"“config.{self.name}” must be {self.rule}."

    def accepts(self, value: Any) -> bool:
        """Tell whether a value is right."""
        if type(value) is not self.kind:
            return False
        text = str(value) if self.kind is str else json.dumps(value, ensure_ascii=False)
        return "\0" not in text and re.fullmatch(self.pattern, text) is not None

    def condition(self) -> Q:
        """Return the same for the database."""
        type_of = Func(KeyTransform(self.name, "config"), function="jsonb_typeof", output_field=models.TextField())
        present = Q(config__has_key=self.name)
        text = KeyTextTransform(self.name, "config")
        right = Q(Exact(type_of, JSON_TYPES[self.kind])) & Q(Regex(text, f"^({self.pattern})$"))
        return present & right if self.required else ~present | right


def _address(rule: str, *, required: bool = False) -> Setting:
    return Setting("api_url", rule, URL, required=required)


SETTINGS: dict[str, list[Setting]] = {
    Provider.GITHUB: [
        _address("the API of a GitHub Enterprise Server, such as https://github.example.org/api/v3"),
        Setting(
            "repository",
            "a repository, such as octocat/hello-world",
            r"[A-Za-z0-9][A-Za-z0-9-]{0,38}/[A-Za-z0-9._-]{1,100}",
            required=True,
        ),
        Setting("label", "a label of at most 50 characters: issues that bear it become tasks", r"[^\n]{1,50}"),
        Setting("task_type", "the type of the tasks, at most 100 characters", r"[^\n]{1,100}"),
    ],
    Provider.SLACK: [
        _address("another address of Slack's API, such as https://slack-gov.com/api"),
        Setting("channel", "a channel, such as #deployments or C024BE91L", r"#?[A-Za-z0-9_.-]{1,80}", required=True),
        Setting(
            "events",
            f"a list of 1 to {MOST} of these: task.complete, task.*, or *",
            rf'\["{EVENT_PATTERN}"(, "{EVENT_PATTERN}"){{0,{MOST - 1}}}\]',
            list,
            required=True,
        ),
    ],
    Provider.JIRA: [
        _address("the address of the Jira site, such as https://example.atlassian.net", required=True),
        Setting(
            "email", "the email of the account that the token is of", r"[^@\s:]{1,64}@[^@\s]{1,189}", required=True
        ),
    ],
    Provider.STRIPE: [
        _address("another address of Stripe's API"),
        Setting(
            "customer",
            "the organization's customer in Stripe, such as cus_NffrFeUfNV2Hib",
            r"cus_[A-Za-z0-9]{1,60}",
            required=True,
        ),
        Setting(
            "plans",
            f'an object of 1 to {MOST} of Stripe\'s prices, and the plan tier of each, such as {{"price_1Mo": "pro"}}',
            rf"\{{{PLAN}(, {PLAN}){{0,{MOST - 1}}}\}}",
            dict,
            required=True,
        ),
    ],
    Provider.CUSTOM: [
        _address("the address of the service, such as https://api.example.org", required=True),
        Setting("check_path", "a path that answers 2xx to who may use the service: /status", r"/[\x21-\x7e]{0,200}"),
        Setting(
            "header", "the header that carries the token: Authorization or X-…", r"Authorization|X-[A-Za-z0-9-]{1,60}"
        ),
    ],
}
"""The settings of each provider; ``config`` takes no others."""

API_URLS: dict[str, str] = {
    Provider.GITHUB: "https://api.github.com",
    Provider.SLACK: "https://slack.com/api",
    Provider.STRIPE: "https://api.stripe.com",
}
"""Where the API is, unless ``api_url`` says otherwise."""

RECEIVES = [Provider.GITHUB, Provider.STRIPE]
"""Who sends us events, signed with a secret."""


def api_url(provider: str, config: Mapping[str, Any]) -> str:
    """Return the address of the provider's API, without a slash at the end."""
    return str(config.get("api_url") or API_URLS[provider]).rstrip("/")


def faults(provider: str, config: Any) -> dict[str, str]:
    """Return what is wrong with a configuration: the message, by the name of the setting; "" is the whole."""
    if not isinstance(config, dict):
        return {"": "“config” must be a JSON object."}
    known = {setting.name: setting for setting in SETTINGS[provider]}
    found = {
        name: f"{Provider(provider).label} has no setting “config.{name}”; it has {', '.join(known)}."
        for name in config
        if name not in known
    }
    for name, setting in known.items():
        if setting.required and name not in config:
            found[name] = f"“config.{name}” is missing: {setting.rule}."
        elif name in config and not setting.accepts(config[name]):
            found[name] = setting.message
    return found


def constraints(table: str) -> Iterator[models.CheckConstraint]:
    """Yield the constraints that keep ``config`` to the table above, for each provider and setting."""
    for provider, settings in SETTINGS.items():
        other = ~Q(provider=str(provider))
        names = [setting.name for setting in settings]
        rest = Func(
            F("config"),
            template=f"(%(expressions)s - '{{{','.join(names)}}}'::text[])",
            output_field=models.JSONField(),
        )
        yield models.CheckConstraint(
            name=f"{table}_{provider}_settings",
            condition=other | Q(Exact(rest, Value({}, models.JSONField()))),
            violation_error_message=f"“config” of {provider.label} has these settings: {', '.join(names)}.",  # type: ignore[attr-defined]
        )
        for setting in settings:
            yield models.CheckConstraint(
                name=f"{table}_{provider}_{setting.name}",
                condition=other | setting.condition(),
                violation_error_message=setting.message,
            )
