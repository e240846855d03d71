"""Real dumps, written by Django: groups, permissions and users of a small shop.

Run by a process of its own, since Django's settings are a process's. The
arguments are the folder to write to.
"""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

__all__ = ["DUMPS", "write_dumps"]

DUMPS = {
    "keys.json": {},
    "natural.json": {"use_natural_foreign_keys": True, "use_natural_primary_keys": True},
}
"""File to the options of ``dumpdata``."""


def write_dumps(folder: Path) -> None:
    """Let Django write :data:`DUMPS` into *folder*."""
    subprocess.run([sys.executable, __file__, str(folder)], check=True)


def _main(folder: Path) -> None:
    import django
    from django.conf import settings

    settings.configure(
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
        INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth"],
        PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"],
    )
    django.setup()
    from django.core.management import call_command

    call_command("migrate", verbosity=0, interactive=False)
    _fill()
    for name, options in DUMPS.items():
        written = io.StringIO()
        call_command("dumpdata", "contenttypes", "auth", stdout=written, **options)
        (folder / name).write_text(written.getvalue(), encoding="utf-8")
        json.loads(written.getvalue())


def _fill() -> None:
    from django.contrib.auth.models import Group, Permission, User
    from django.contrib.contenttypes.models import ContentType

    item = ContentType.objects.create(app_label="stock", model="item")
    report = ContentType.objects.create(app_label="reports", model="report")
    for action in ("add", "change", "delete", "view"):
        Permission.objects.create(
            content_type=item, codename=f"{action}_item", name=f"Can {action} item"
        )
    Permission.objects.create(content_type=item, codename="count_stock", name="Can count")
    Permission.objects.create(content_type=report, codename="Read All", name="Can read reports")

    def held(*codenames: str) -> list[Permission]:
        return list(Permission.objects.filter(codename__in=codenames))

    groups = {
        "Shop clerks": held("view_item", "change_item"),
        "Auditors": held("view_item", "Read All", "view_user"),
        "Guests": [],
    }
    for name, permissions in groups.items():
        Group.objects.create(name=name).permissions.set(permissions)

    def hire(name: str, *of: str, active: bool = True, superuser: bool = False) -> User:
        user = User.objects.create_user(name, password="correct horse battery")
        user.is_active, user.is_superuser = active, superuser
        user.save()
        user.groups.set(Group.objects.filter(name__in=of))
        return user

    hire("Ada", "Shop clerks", "Auditors").user_permissions.set(held("count_stock", "add_user"))
    hire("bob", "Shop clerks")
    hire("gone", "Shop clerks", active=False)
    hire("root", "Guests", superuser=True)
    hire("nobody")


if __name__ == "__main__":
    _main(Path(sys.argv[1]))
