"""What workers do."""

from ipaddress import IPv4Network, IPv6Network

from config.variables import Variable, networks, number

PURGE_AFTER_DAYS = number(
    "PURGE_AFTER_DAYS",
    0,
    36_500,
    0,
    "After how long a worker removes for good what was deleted softly, as `manage.py purge` does.",
    unit="days",
    zero="never",
)
OUTBOUND_ALLOW: Variable[list[IPv4Network | IPv6Network]] = Variable(
    "OUTBOUND_ALLOW",
    networks,
    [],
    "networks or addresses, separated by commas (10.1.0.0/16,127.0.0.1)",
    "Networks that aren't public, and that webhooks and integrations may reach all the same, by plain HTTP too.",
    shown_default="none",
    example="10.1.0.0/16",
)
