"""Stemwright in Ableton Live: a Remote Script. Live calls `create_instance`; importing does nothing."""


def create_instance(c_instance):
    """What Live calls once a set is open and this script is chosen as a control surface."""
    from .surface import Stemwright

    return Stemwright(c_instance)
