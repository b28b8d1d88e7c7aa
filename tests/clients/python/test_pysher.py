"""Pysher as a client: it speaks protocol 6, pings first, reads no close codes and obeys the codes of errors."""

import json
import unittest

from support import DEADLINE, SITE, Listener, backend, name


class Connecting(unittest.TestCase):
    def test_its_first_ping_is_answered_by_an_event(self):
        with Listener() as client:
            self.assertEqual(client.next()[0], "pusher:pong")

    def test_an_unknown_key_makes_it_give_up(self):
        with Listener(key="key-of-nobody") as client:
            event, data, _ = client.next()
            self.assertEqual((event, data["code"]), ("pusher:error", 4001))
            client.pysher.connection.join(DEADLINE)
            self.assertFalse(client.pysher.connection.is_alive())

    def test_after_a_loss_it_comes_back_to_its_channels(self):
        channel = name()
        with Listener(auto_sub=True, reconnect_interval=0) as client:
            subscription, _ = client.connected().subscribe(channel)
            first = client.socket_id
            # In the library's own thread, as when it obeys the server: closing from another is a race it can lose.
            subscription.bind("lose", lambda data: client.pysher.connection.reconnect(0))
            backend().trigger(channel, "lose", {})
            client.connected()
            self.assertEqual(client.next_of(channel)[0], "lose")
            self.assertNotEqual(client.socket_id, first)
            self.assertEqual(client.next_of(channel)[0], "pusher_internal:subscription_succeeded")
            backend().trigger(channel, "event", {})
            self.assertEqual(client.next_of(channel)[0], "event")


class Channels(unittest.TestCase):
    def test_public(self):
        self.check_events_arrive(name(), Listener())

    def test_private(self):
        self.check_events_arrive(name("private-"), Listener())

    def test_private_by_the_auth_endpoint(self):
        endpoint = f"{SITE['authUrl']}/main/channel/sign"
        self.check_events_arrive(name("private-"), Listener(secret="", auth_endpoint=endpoint))

    def test_cache(self):
        channel = name("cache-")
        backend().trigger(channel, "price", {"n": 1})
        with Listener() as client:
            client.connected().subscribe(channel)
            self.assertEqual(client.next_of(channel), ("price", '{"n": 1}', channel))

    def check_events_arrive(self, channel, listener):
        with listener as client:
            subscription, data = client.connected().subscribe(channel)
            self.assertEqual(data, "{}")
            called = []
            subscription.bind("event", lambda data, extra: called.append((data, extra)), "extra")
            backend().trigger(channel, "event", {"text": "zażółć"})
            client.next_of(channel)
            self.assertEqual([(json.loads(data), extra) for data, extra in called], [({"text": "zażółć"}, "extra")])

    def test_unsubscribed_nothing_arrives(self):
        left, kept = name(), name()
        with Listener() as client:
            client.connected().subscribe(left)
            client.pysher.unsubscribe(left)
            # The server deals with frames in order: this subscription is behind the end of the other.
            client.subscribe(kept)
            backend().trigger(left, "unheard", {})
            backend().trigger(kept, "heard", {})
            self.assertEqual(client.next()[0], "heard")

    def test_a_wrong_secret_is_refused_and_the_connection_stays(self):
        channel = name("private-")
        with Listener(secret="wrong") as client:
            client.connected().pysher.subscribe(channel)
            event, data, _ = client.next_of(channel)
            self.assertEqual(event, "pusher:subscription_error")
            self.assertEqual(json.loads(data)["status"], 401)
            event, data, _ = client.next()
            self.assertEqual((event, data["code"]), ("pusher:error", None))
            client.subscribe(name())


class Presence(unittest.TestCase):
    def test_members_come_and_go(self):
        channel = name("presence-")
        ann = {"user_id": "ann", "user_info": {"name": "Łucja"}}
        with Listener(user_data=ann) as client:
            _, data = client.connected().subscribe(channel)
            self.assertEqual(
                json.loads(data)["presence"], {"count": 1, "ids": ["ann"], "hash": {"ann": {"name": "Łucja"}}}
            )
            with Listener(user_data={"user_id": "bob", "user_info": {"n": 2}}) as other:
                _, data = other.connected().subscribe(channel)
                self.assertEqual(sorted(json.loads(data)["presence"]["ids"]), ["ann", "bob"])
                event, data, _ = client.next_of(channel)
                self.assertEqual(event, "pusher_internal:member_added")
                self.assertEqual(json.loads(data), {"user_id": "bob", "user_info": {"n": 2}})
            event, data, _ = client.next_of(channel)
            self.assertEqual((event, json.loads(data)), ("pusher_internal:member_removed", {"user_id": "bob"}))


class ClientEvents(unittest.TestCase):
    def test_reach_the_others_and_not_the_sender(self):
        channel = name("private-")
        with Listener() as sender, Listener() as receiver:
            sending, _ = sender.connected().subscribe(channel)
            receiver.connected().subscribe(channel)
            sending.trigger("client-hello", {"text": "zażółć"})
            event, data, _ = receiver.next_of(channel)
            self.assertEqual((event, json.loads(data)), ("client-hello", {"text": "zażółć"}))
            backend().trigger(channel, "marker", {})
            self.assertEqual(sender.next_of(channel)[0], "marker")

