"""Names of methods: checked before a link of the command's own is started for them. Loads neither torch nor gRPC."""

import os
from collections.abc import Sequence

from jscc.cards import UnknownCheckpointError, cards, choose, chosen_folder
from jscc.config import shown
from services.orchestrator.link.addresses import Addresses
from services.orchestrator.link.local import LocalLink, state_folder


def check_names(names: Sequence[str], addresses: Addresses | None) -> None:
    """Check what is asked for against the checkpoints, if the command is to start the link; another link knows best.

    Raises:
        UnknownCheckpointError: the link would not serve a name.
        ValueError: there is no checkpoint, or the local link's state is damaged.
    """
    if not names or addresses is not None or LocalLink(state_folder()).is_running:
        return
    there = [card.name for card in choose(cards(chosen_folder()), os.environ.get("METHODS", ""))]
    for name in names:
        if name not in there:
            known = ", ".join(sorted(there))
            raise UnknownCheckpointError(f"method: {shown(name)} would not be served by this link (served: {known})")
