"""Who acts and what happened: organizations, users, keys, audit, health; and the kits all apps build on."""
