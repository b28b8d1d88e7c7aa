"""Where the server is, the `pusher` library set up for its apps, and a Pysher client that can be waited for."""

import json
import os
import queue
import threading
import uuid

import pusher
import pysher

DEADLINE = 10

# Set by suites/python.test.js, which starts the server: host, port, authUrl, apps.
SITE = json.loads(os.environ["TIDINGS_SITE"])


def name(prefix=""):
    """A name no other test uses."""
    return f"{prefix}py-{uuid.uuid4().hex[:12]}"


def backend(app="main", **options):
    """The `pusher` library for one of the apps."""
    settings = {
        "app_id": SITE["apps"][app]["id"],
        "key": SITE["apps"][app]["key"],
        "secret": SITE["apps"][app]["secret"],
        "encryption_master_key_base64": SITE["apps"][app]["encryptionMasterKeyBase64"],
        "host": SITE["host"],
        "port": SITE["port"],
        "ssl": False,
    }
    return pusher.Pusher(**{**settings, **options})


class Listener:
    """A Pysher client, unchanged, whose incoming frames can be read one by one."""

    def __init__(self, app="main", key=None, **options):
        options.setdefault("secret", SITE["apps"][app]["secret"])
        self.pysher = pysher.Pusher(
            key or SITE["apps"][app]["key"],
            secure=False,
            custom_host=SITE["host"],
            port=SITE["port"],
            **options,
        )
        self._frames = queue.Queue()
        self._connected = threading.Event()
        connection = self.pysher.connection
        # Pysher's own hooks: one for frames of channels, one for those of the connection.
        handle_channel_event = connection.event_handler

        def record_and_handle(event, data, channel):
            # Handled first: whoever has read the frame finds its callbacks called.
            handle_channel_event(event, data, channel)
            self._frames.put((event, data, channel))

        connection.event_handler = record_and_handle
        for event in ("pusher:error", "pusher:pong", "pusher:signin_success"):
            connection.bind(event, lambda data, event=event: self._frames.put((event, data, None)))
        connection.bind("pusher:connection_established", lambda data: self._connected.set())

    def __enter__(self):
        self.pysher.connect()
        return self

    def __exit__(self, *_):
        if self.pysher.connection.is_alive():
            # Closes at once, but the library's thread may sit on the closed socket: not worth waiting for.
            self.pysher.disconnect(timeout=0.1)

    def connected(self):
        """Waits for the connection; Pysher then knows its socket id."""
        assert self._connected.wait(DEADLINE), "not connected"
        self._connected.clear()
        return self

    @property
    def socket_id(self):
        return self.pysher.connection.socket_id

    def subscribe(self, channel, auth=None):
        """Subscribes and waits for the server's yes; gives the channel and its first data."""
        subscribed = self.pysher.subscribe(channel, auth)
        event, data, _ = self.next_of(channel)
        assert event == "pusher_internal:subscription_succeeded", (event, data)
        return subscribed, data

    def send(self, event, data):
        """Sends a frame that Pysher itself has no method for."""
        self.pysher.connection.send_event(event, data)

    def next(self):
        """The next frame as (event, data, channel)."""
        return self._frames.get(timeout=DEADLINE)

    def next_of(self, channel):
        """The next frame of a channel, dropping others: Pysher's own pings are answered in between."""
        while True:
            frame = self.next()
            if frame[2] == channel:
                return frame
