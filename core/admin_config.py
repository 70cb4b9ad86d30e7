"""The admin app of INSTALLED_APPS: Django's, with our site. Apart from the site, since apps load before models."""

from django.contrib.admin.apps import AdminConfig


class MusterAdminConfig(AdminConfig):
    """Makes our site the default one."""

    default_site = "core.admin_site.MusterAdminSite"
