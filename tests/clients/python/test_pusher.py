"""The `pusher` library of PyPI as an app's backend."""

import json
import unittest
from base64 import b64decode

import pusher
from nacl.secret import SecretBox
from support import SITE, Listener, backend, name


class Trigger(unittest.TestCase):
    def test_an_event_arrives_with_its_data(self):
        channel = name()
        with Listener() as client:
            client.connected().subscribe(channel)
            for data in ({"n": 1}, ["a", None], "plain text", "zażółć 日本語 🛎️"):
                self.assertEqual(backend().trigger(channel, "event", data), {})
                event, got, _ = client.next_of(channel)
                self.assertEqual((event, text_or_json(got)), ("event", data))

    def test_an_event_for_many_channels(self):
        channels = [name() for _ in range(100)]
        with Listener() as client:
            client.connected()
            for channel in (channels[0], channels[99]):
                client.subscribe(channel)
            self.assertEqual(backend().trigger(channels, "event", {}), {})
            self.assertEqual({client.next()[2], client.next()[2]}, {channels[0], channels[99]})

    def test_the_connection_named_by_socket_id_is_left_out(self):
        channel = name()
        with Listener() as client:
            client.connected().subscribe(channel)
            backend().trigger(channel, "own", {}, client.socket_id)
            backend().trigger(channel, "other", {})
            self.assertEqual(client.next_of(channel)[0], "other")

    def test_the_largest_data(self):
        channel, largest = name(), "x" * 10240
        with Listener() as client:
            client.connected().subscribe(channel)
            backend().trigger(channel, "event", largest)
            self.assertEqual(client.next_of(channel)[1], largest)

    def test_an_encrypted_event_can_be_opened_with_the_shared_secret(self):
        channel = name("private-encrypted-")
        with Listener() as client:
            client.connected()
            authorized = backend().authenticate(channel, client.socket_id)
            client.subscribe(channel, auth=authorized["auth"])
            backend().trigger(channel, "sealed", {"text": "zażółć"})
            sealed = json.loads(client.next_of(channel)[1])
            self.assertEqual(open_box(sealed, authorized["shared_secret"]), '{"text": "zażółć"}')

    def test_a_batch(self):
        one, two = name(), name("private-")
        with Listener() as client:
            client.connected()
            client.subscribe(one)
            client.subscribe(two)
            batch = [
                {"channel": one, "name": "a", "data": {"n": 1}},
                {"channel": two, "name": "b", "data": "text"},
                {"channel": one, "name": "c", "data": {}, "socket_id": client.socket_id},
                {"channel": one, "name": "d", "data": {}},
            ]
            self.assertEqual(backend().trigger_batch(batch), {})
            frames = [client.next(), client.next(), client.next()]
            self.assertEqual(
                sorted(frames), sorted([("a", '{"n": 1}', one), ("b", "text", two), ("d", "{}", one)])
            )

    def test_the_url_form_of_the_settings(self):
        app = SITE["apps"]["main"]
        url = f"http://{app['key']}:{app['secret']}@{SITE['host']}/apps/{app['id']}"
        library = pusher.Pusher.from_url(url, port=SITE["port"])
        self.assertEqual(library.trigger(name(), "event", {}), {})


class Queries(unittest.TestCase):
    """GET requests, on which this library sends and signs the digest of an empty body."""

    def test_channels(self):
        room, plain = name("presence-pylist-"), name()
        with Listener(user_data={"user_id": "ann"}) as client:
            client.connected().subscribe(room)
            client.subscribe(plain)
            self.assertEqual(backend().channels_info()["channels"][plain], {})
            self.assertEqual(
                backend().channels_info("presence-pylist-", ["user_count"]),
                {"channels": {room: {"user_count": 1}}},
            )
        self.assertEqual(backend().channels_info("nothing-"), {"channels": {}})

    def test_one_channel(self):
        room = name("presence-")
        with Listener(user_data={"user_id": "ann"}) as client:
            client.connected().subscribe(room)
            self.assertEqual(backend().channel_info(room), {"occupied": True})
            self.assertEqual(
                backend().channel_info(room, ["user_count", "subscription_count"]),
                {"occupied": True, "user_count": 1, "subscription_count": 1},
            )
        self.assertEqual(backend().channel_info(name()), {"occupied": False})

    def test_the_cache(self):
        channel = name("cache-")
        backend().trigger(channel, "price", {"n": 1})
        cache = backend().channel_info(channel, ["cache"])["cache"]
        self.assertEqual(cache["data"], '{"n": 1}')
        self.assertLessEqual(cache["ttl"], 1800)

    def test_users(self):
        room = name("presence-")
        with Listener(user_data={"user_id": 10}) as client:
            client.connected().subscribe(room)
            self.assertEqual(backend().users_info(room), {"users": [{"id": "10"}]})


class Users(unittest.TestCase):
    def test_signed_in_it_gets_its_events_and_is_terminated(self):
        user = name()
        own_channel = f"#server-to-user-{user}"
        with Listener() as client:
            client.connected()
            client.send("pusher:signin", backend().authenticate_user(client.socket_id, {"id": user}))
            event, data, _ = next_but_pong(client)
            self.assertEqual(event, "pusher:signin_success")
            self.assertEqual(json.loads(json.loads(data)["user_data"]), {"id": user})
            client.subscribe(own_channel, auth="")

            self.assertEqual(backend().send_to_user(user, "greet", {"n": 1}), {})
            self.assertEqual(client.next_of(own_channel), ("greet", '{"n": 1}', own_channel))

            self.assertEqual(backend().terminate_user_connections(user), {})
            event, data, _ = next_but_pong(client)
            self.assertEqual((event, data["code"]), ("pusher:error", 4009))

    def test_terminating_a_user_who_is_not_there(self):
        self.assertEqual(backend().terminate_user_connections(name()), {})


class Signatures(unittest.TestCase):
    def test_of_a_private_channel(self):
        channel = name("private-")
        with Listener() as client:
            client.connected()
            client.subscribe(channel, auth=backend().authenticate(channel, client.socket_id)["auth"])

    def test_of_a_presence_channel(self):
        channel = name("presence-")
        member = {"user_id": "ann", "user_info": {"name": "Łucja"}}
        with Listener() as client:
            client.connected()
            authorized = backend().authenticate(channel, client.socket_id, member)
            client.send("pusher:subscribe", {"channel": channel, **authorized})
            event, data, _ = client.next_of(channel)
            self.assertEqual(event, "pusher_internal:subscription_succeeded")
            self.assertEqual(json.loads(data)["presence"]["hash"], {"ann": {"name": "Łucja"}})


class Errors(unittest.TestCase):
    def test_a_wrong_secret(self):
        with self.assertRaisesRegex(pusher.errors.PusherBadAuth, "Invalid signature"):
            backend(secret="wrong").trigger(name(), "event", {})

    def test_an_unknown_key(self):
        with self.assertRaises(pusher.errors.PusherBadAuth):
            backend(key="key-of-nobody").channels_info()

    def test_an_unknown_app(self):
        with self.assertRaisesRegex(pusher.errors.PusherBadStatus, "^404"):
            backend(app_id="999999").trigger(name(), "event", {})

    def test_a_disabled_app(self):
        with self.assertRaises(pusher.errors.PusherForbidden):
            backend("disabled").trigger(name(), "event", {})

    def test_too_much_data(self):
        with self.assertRaisesRegex(pusher.errors.PusherBadStatus, "^413"):
            backend().trigger(name(), "event", "x" * 10241)

    def test_a_bad_request(self):
        with self.assertRaises(pusher.errors.PusherBadRequest):
            backend().trigger(name(), "pusher:reserved", {})

    def test_users_of_a_channel_that_has_none(self):
        with self.assertRaises(pusher.errors.PusherBadRequest):
            backend().users_info(name("private-"))


def text_or_json(text):
    try:
        return json.loads(text)
    except ValueError:
        return text


def open_box(sealed, shared_secret):
    box = SecretBox(b64decode(shared_secret))
    return box.decrypt(b64decode(sealed["ciphertext"]), b64decode(sealed["nonce"])).decode()


def next_but_pong(client):
    frame = client.next()
    return next_but_pong(client) if frame[0] == "pusher:pong" else frame

