"""`sync`: Argo CD is asked to look at git and to sync now, instead of when its own time comes."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kustodian.argocd.application import Application
    from kustodian.argocd.client import Client
    from kustodian.delivery.destination import Destination


def sync(client: Client, destination: Destination) -> Application:
    """Start a sync of what the Application follows; the Application with the operation that was asked for.

    No revision is named: while auto-sync is on, Argo CD syncs no other one than the tip of what is followed.
    Raises `ServerError`, if an operation is running already, too.
    """
    name, namespace = destination.application, destination.namespace
    application = client.application(name, refresh="normal", namespace=namespace)
    return client.sync(name, prune=application.prunes, namespace=namespace)


def switch_on(client: Client, destination: Destination) -> bool:
    """Switch auto-sync on, after an emergency; whether it was off. Raises `ServerError`."""
    name, namespace = destination.application, destination.namespace
    if client.application(name, namespace=namespace).automated:
        return False
    client.set_automated(name, True, namespace=namespace)
    return True
