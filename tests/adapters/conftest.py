"""Django's settings come before anything of Django is imported, hence here."""

from __future__ import annotations

from support.protected import django_project

django_project.configure()
