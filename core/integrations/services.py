"""Asking a service by its API: whether an integration works, and messages to Slack.

Network calls: never make them inside a transaction.
"""

import asyncio
import base64
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson
from django.views.decorators.debug import sensitive_variables

from core.encryption import UnreadableSecretError, reveal
from core.integrations.providers import Provider, api_url
from core.models import Integration
from core.outbound import Answer, Client, OutboundError

USER_AGENT = "Muster-Integrations/1"
SLACK_BYTES = 64 * 1024  # its answers repeat the message
CODE = re.compile(r"[a-z0-9_]{1,80}")
UNREADABLE = "The token can't be read, because its key is lost: give it anew."


@dataclass(frozen=True)
class Question:
    """A request to a service."""

    method: str
    url: str
    headers: Mapping[str, str]
    content: bytes = b""
    most: int = 4096


@sensitive_variables("question")
def ask(question: Question) -> Answer:
    """Send the request, and return the answer. Raises OutboundError when there was none."""

    async def send() -> Answer:
        async with Client() as client:
            return await client.request(
                question.method,
                question.url,
                headers={"User-Agent": USER_AGENT, "Accept": "application/json", **question.headers},
                content=question.content,
                most=question.most,
            )

    return asyncio.run(send())


# --- Does it work? ---------------------------------------------------------------------------------


@sensitive_variables("token")
def fault_of(integration: Integration) -> str:
    """Ask the service whether the settings and the token are right. Return what isn't, or nothing at all."""
    try:
        token = reveal(integration.token)
    except UnreadableSecretError:
        return UNREADABLE
    check = CHECKS[integration.provider]
    try:
        answer = ask(check.question(integration.config, token))
    except OutboundError as error:
        return str(error)
    return check.fault(integration.config, answer)


@dataclass(frozen=True)
class Check:
    """How a service is asked, and what its answers mean.

    Attributes:
        question: makes the request of the settings and the token.
        refusals: what is said of an answer's status; others than 2xx besides are said to be unexpected.
        look: what else an answer must say, though its status is 2xx; returns a fault, or nothing.
    """

    question: Callable[[dict[str, Any], str], Question]
    refusals: Mapping[int, str] = field(default_factory=dict)
    look: Callable[[Answer], str] = lambda answer: ""

    def fault(self, config: dict[str, Any], answer: Answer) -> str:
        """Return what an answer says against the integration."""
        if 200 <= answer.status < 300:
            return self.look(answer)
        known = self.refusals.get(answer.status)
        return known.format(**config) if known else f"The service answered with the unexpected status {answer.status}."


def bearer(token: str) -> dict[str, str]:
    """Return the header that most services take a token in."""
    return {"Authorization": f"Bearer {token}"}


def _github(config: dict[str, Any], token: str) -> Question:
    url = f"{api_url(Provider.GITHUB, config)}/repos/{config['repository']}"
    return Question("GET", url, {**bearer(token), "X-GitHub-Api-Version": "2022-11-28"})


def _slack(config: dict[str, Any], token: str) -> Question:
    return Question("POST", f"{api_url(Provider.SLACK, config)}/auth.test", bearer(token), most=SLACK_BYTES)


def _jira(config: dict[str, Any], token: str) -> Question:
    credentials = base64.b64encode(f"{config['email']}:{token}".encode()).decode()
    url = f"{api_url(Provider.JIRA, config)}/rest/api/3/myself"
    return Question("GET", url, {"Authorization": f"Basic {credentials}"})


def _stripe(config: dict[str, Any], token: str) -> Question:
    return Question("GET", f"{api_url(Provider.STRIPE, config)}/v1/customers/{config['customer']}", bearer(token))


def _custom(config: dict[str, Any], token: str) -> Question:
    name = config.get("header", "Authorization")
    headers = bearer(token) if name == "Authorization" else {name: token}
    url = f"{api_url(Provider.CUSTOM, config)}{config.get('check_path', '/')}"
    return Question("GET", url, headers if token else {})


def _slack_fault(answer: Answer) -> str:
    reply = SlackReply.of(answer)
    return "" if reply.ok else reply.error


REFUSED = {401: "The service doesn't know the token: it is wrong, revoked or expired."}
CHECKS: dict[str, Check] = {
    Provider.GITHUB: Check(
        _github,
        {
            **REFUSED,
            403: "The token may not read {repository}, or GitHub takes no more requests for now.",
            404: "The token sees no repository {repository}.",
        },
    ),
    Provider.SLACK: Check(_slack, look=_slack_fault),
    Provider.JIRA: Check(
        _jira, {**REFUSED, 403: "The account of {email} may not use the site.", 404: "There is no Jira here."}
    ),
    Provider.STRIPE: Check(
        _stripe, {**REFUSED, 403: "The key may not read customers.", 404: "Stripe has no customer {customer}."}
    ),
    Provider.CUSTOM: Check(_custom, REFUSED),
}


# --- Slack -----------------------------------------------------------------------------------------

# What Slack says of itself or of its limits, and not of the token, the channel or the message.
SLACK_TROUBLES = {
    "fatal_error",
    "internal_error",
    "ratelimited",
    "rate_limited",
    "request_timeout",
    "service_unavailable",
}


@dataclass(frozen=True)
class SlackReply:
    """What Slack made of a request.

    Attributes:
        error: what went wrong; nothing where all is well.
        lasting: whether the same request would be refused again.
        wait: how many seconds Slack asks to wait.
    """

    error: str = ""
    lasting: bool = False
    wait: int = 0

    @property
    def ok(self) -> bool:
        """Tell whether Slack did what it was asked."""
        return not self.error

    @classmethod
    def of(cls, answer: Answer) -> "SlackReply":
        """Return what an answer says."""
        if answer.status == 429:
            seconds = answer.headers.get("retry-after", "")
            return cls("Slack takes no more messages for now.", wait=int(seconds[:5]) if seconds.isdecimal() else 0)
        if answer.status >= 500:
            return cls(f"Slack answered with the status {answer.status}.")
        try:
            said = orjson.loads(answer.body)
            done, code = bool(said["ok"]), str(said.get("error", ""))
        except (ValueError, TypeError, KeyError):
            return cls(f"The service answered with the status {answer.status}, and not as Slack does.", lasting=True)
        if done:
            return cls()
        code = code if CODE.fullmatch(code) else "an error without a name"
        return cls(f"Slack refuses: {code}.", lasting=code not in SLACK_TROUBLES)


@sensitive_variables("token")
def post_to_slack(integration: Integration, text: str) -> SlackReply:
    """Post a message to the integration's channel, and return what Slack made of it."""
    try:
        token = reveal(integration.token)
    except UnreadableSecretError:
        return SlackReply(UNREADABLE, lasting=True)
    message = {"channel": integration.config["channel"], "text": text, "unfurl_links": False, "unfurl_media": False}
    headers = {**bearer(token), "Content-Type": "application/json; charset=utf-8"}
    url = f"{api_url(Provider.SLACK, integration.config)}/chat.postMessage"
    try:
        return SlackReply.of(ask(Question("POST", url, headers, orjson.dumps(message), SLACK_BYTES)))
    except OutboundError as error:
        return SlackReply(str(error))
