"""Controls: a worker that loads this module breaks what its environment names, and the campaign must notice."""

import os
from typing import Any

from core.services import webhooks_dispatch
from core.services.webhooks_outcome import Outcome

CONTROL = os.environ.get("BENCHMARK_CONTROL", "")

if CONTROL == "order":  # a later delivery doesn't wait for the earlier one of its object
    webhooks_dispatch.CLAIM = webhooks_dispatch.CLAIM.replace("earlier.id < delivery.id", "false")

if CONTROL == "signature":  # of something else than what is sent
    sign = webhooks_dispatch.Signer.sign
    webhooks_dispatch.Signer.sign = lambda self, msg_id, timestamp, data: sign(self, msg_id, timestamp, data + " ")

if CONTROL == "once":  # what was noted before it was sent is lost when the worker dies, or the receiver fails
    attempt = webhooks_dispatch.attempt

    async def attempt_and_forget(client: Any, message: Any) -> Outcome:
        outcome = await attempt(client, message)
        return Outcome(outcome.milliseconds, 204)

    webhooks_dispatch.attempt = attempt_and_forget
