"""The API: the kit that every app builds its endpoints on, and the endpoints of core."""
