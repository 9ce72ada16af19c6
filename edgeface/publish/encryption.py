"""Whether a port speaks TLS where we do not, or plain MQTT where we ask for TLS: found out by asking it.

A broker that is greeted the wrong way closes the connection, and looks like one that is down or too old.
"""

from __future__ import annotations

import socket
import ssl

import msgspec

from edgeface.config import Mqtt
from edgeface.publish.client import make_probe, tls_context
from edgeface.publish.reasons import SET_TLS, SessionFailure
from edgeface.publish.selfpipe import SelfPipe
from edgeface.publish.session import Session

ASK_S = 2.0
"""Longest wait for each answer."""


def explained(failure: SessionFailure, settings: Mqtt) -> SessionFailure:
    """Ask the port when a failure leaves it in doubt what it speaks; the failure itself where that says nothing.

    Neither name nor password is sent: whoever listens there has not proved who it is.
    """
    if not failure.tls_in_doubt:
        return failure
    if tls_context(settings) is None:
        if _speaks_tls(settings):
            return SessionFailure("refused", "it expects TLS on this port", hint=SET_TLS)
    elif _speaks_plainly(settings):
        hint = "set mqtt.port to its port for TLS, often 8883, or leave mqtt.tls, ca_file and cert_file unset"
        return SessionFailure("refused", "it speaks MQTT without TLS on this port", hint=hint)
    return failure


def _speaks_tls(settings: Mqtt) -> bool:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with socket.create_connection((settings.host, settings.port), ASK_S) as sock:
            context.wrap_socket(sock, server_hostname=settings.host).close()
    except ssl.SSLError as error:
        # It asks for a certificate, or for another version: in TLS.
        return "ALERT" in (error.reason or "")
    except OSError:
        return False
    return True


def _speaks_plainly(settings: Mqtt) -> bool:
    plain = msgspec.structs.replace(settings, tls=False, ca_file=None, cert_file=None, key_file=None)
    wake = SelfPipe()
    probe = Session(make_probe(plain), wake)
    try:
        probe.open(plain.host, plain.port, keep_alive_s=60, answer_s=ASK_S)
    except SessionFailure as failure:
        # A refusal is an answer in plain MQTT.
        return failure.reason is not None
    finally:
        probe.close()
        wake.close()
    return True
