"""The WSGI application, which serves Muster: `granian --interface wsgi config.wsgi:application`."""

import gc
import os

from django.core.wsgi import get_wsgi_application

from core.observability.sharing import share_metrics
from core.request import Request

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

share_metrics()  # before anything is loaded that counts

application = get_wsgi_application()
application.request_class = Request

# What is loaded by now stays; to look through it for garbage again and again takes a tenth of each request.
gc.collect()
gc.freeze()
